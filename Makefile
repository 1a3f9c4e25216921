# Every target does its own set-up; `make help` lists them.
VENV ?= .venv
BIN := $(VENV)/bin
export VENV PYTHON TORCH

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-wheel test-interop test-vla-eval test-robot test-newest docs lint types claims bench ci clean

help: ## what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

setup: ## .venv with everything in it, minutes and 3 GB the first time (PYTHON=/path/to/python3.11, TORCH=cpu for the small torch)
	@.ci/setup.sh

demo: setup ## toys -> demonstrations -> policies -> report (YCB=DIR adds real YCB objects, RESULTS=DIR keeps rows there)
	@$(BIN)/toyshift run quickstart $(if $(YCB),--ycb "$(YCB)") $(if $(RESULTS),--results "$(RESULTS)")

# Compiled tests and modules are kept even where PYTHONDONTWRITEBYTECODE is set, as in many images: compiling them
# anew in every process takes an eighth of the time.
test: setup ## all tests, on all cores (ARGS="-k toys" for some, on one)
	@PYTHONDONTWRITEBYTECODE= $(BIN)/pytest $(or $(ARGS),-n auto --dist loadfile --no-loadscope-reorder --durations=10)

test-wheel: setup ## the same tests against the built wheel in a fresh environment
	@.ci/test_wheel.sh $(ARGS)

test-interop: setup test-vla-eval ## what we write, opened by lerobot, tensorflow_datasets and robomimic (.venv-interop, several GB); vla-eval
	@.ci/test_interop.sh $(ARGS)

test-vla-eval: setup ## the same starts in vla-eval and in ToyShift (.venv-vla-eval, 250 MB)
	@.ci/test_vla_eval.sh

test-robot: setup ## franky on a simulated Franka, ROS 2 messages (.venv-robot, 1 GB)
	@.ci/test_robot.sh $(ARGS)

test-newest: setup ## the suite on Python 3.13 with the newest of everything, and what differs (.venv-newest, 6 GB)
	@.ci/test_newest.sh $(ARGS)

docs: setup ## the documentation as a site in site/ (.venv-docs, 170 MB)
	@.ci/docs.sh $(ARGS)

lint: setup ## ruff
	@$(BIN)/ruff check .

types: setup ## mypy, strict
	@$(BIN)/mypy

claims: setup ## marked numbers in README.md and docs/ against the rows in results/ (ARGS="--help" says how to mark)
	@$(BIN)/python benchmarks/check_claims.py $(ARGS)

bench: setup ## steps and frames per second beside robosuite's
	@$(BIN)/python benchmarks/vs_robosuite.py $(ARGS)

ci: ## what must be green before a merge
	@.ci/run

clean: ## removes what the tools made; keeps .venv and runs/
	@rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -type d -not -path './.venv*' -prune -exec rm -rf {} +
