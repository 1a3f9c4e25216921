"""Plays a benchmark with a version, and makes a page of many results.

toyshift bench --policy runs/detpool                  plays ToyShift-1 and writes one result file
toyshift bench table results/ --out bench.html        a page of results, to sort and filter
"""
