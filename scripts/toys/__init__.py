"""Lists, shows and measures the objects of a set.

toyshift toys import my_meshes                   what each object is and what is wrong with it
toyshift toys list ycb-like                      one line per object
toyshift toys show toys:train?n=48 --out toys.png
toyshift toys grasps ycb-like --out grasps       grasp poses of every object, in files
toyshift toys stats ycb:DIR                      sizes, masses, and what a gripper cannot hold
"""
