# make help lists what can be done. Everything lives in .venv; nothing outside this folder is touched.

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	if $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo $$p; break; fi; done)
BIN := .venv/bin
STAMP := .venv/.installed-by-make
REFERENCES := .venv/.references-installed-by-make

# Tests run in as many processes as there are cores, so each takes one thread for itself.
TEST_FLAGS ?= -n logical --maxprocesses 8 --dist worksteal
ONE_THREAD := MINIRNN_THREADS=1 OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1

.DEFAULT_GOAL := help
.PHONY: help env demo test test-gpu lint references verify parity notebooks lessons site upgrade clean

help:  ## show this list
	@echo "minirnn: Mask R-CNN from scratch. What make can do:"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "  make %-10s %s\n", $$1, $$2}'

env: $(STAMP)  ## make the environment in .venv (about 800 MB, a minute or two)

$(STAMP): pyproject.toml constraints.txt
	@if [ -z "$(PYTHON)" ]; then \
		echo "minirnn needs Python 3.11 or newer, and found none. Install one, or name it:" >&2; \
		echo "    make env PYTHON=/path/to/python3.12" >&2; exit 1; fi
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "minirnn needs Python 3.11 or newer; $(PYTHON) is `$(PYTHON) --version 2>&1`" >&2; exit 1; }
	@if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
		echo "Creating .venv with `$(PYTHON) --version`"; \
		$(PYTHON) -m venv --clear .venv || { \
			echo "$(PYTHON) cannot make a virtual environment (on Debian and Ubuntu: apt install python3-venv)" >&2; \
			exit 1; }; fi
	@echo "Installing minirnn and the tools around it into .venv (about 800 MB, a minute or two)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --editable '.[convert,imagenet,lab,test,lint,mpi,site,tensorboard]'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --no-deps stardist  # two pictures; its code is not run
	@touch $@
	@echo "The environment is ready: source .venv/bin/activate"

demo: env  ## train, evaluate and draw a Mask R-CNN on shapes, in runs/demo (about 5 minutes on 2 cores)
	$(BIN)/minirnn demo

test: env  ## run the tests, but those of `make parity` (about 2 minutes on 2 cores)
	$(ONE_THREAD) $(BIN)/python -m pytest $(TEST_FLAGS) --ignore tests/reference

test-gpu: env  ## run the tests that need an NVIDIA GPU and CuPy, where they are there
	$(BIN)/python -m pytest -m gpu

lint: env  ## check style, formatting, types, and that nothing imports upwards
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

verify: env  ## compare every operation and stage with what is installed to compare with
	$(BIN)/minirnn verify

references: $(REFERENCES)  ## add torch, torchvision, ONNX Runtime and NVRTC

# torchvision comes without its dependencies: with them it could replace a torch for the CPU by one for CUDA.
$(REFERENCES): $(STAMP)
	@echo "Installing torch, torchvision, onnx, onnxruntime and NVRTC into .venv"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --editable '.[reference,nvrtc]'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --no-deps torchvision
	@touch $@

parity: references  ## run the tests that need torch, torchvision or NVRTC (about 5 minutes)
	$(BIN)/python -m pytest tests/reference tests/test_cuda_nvrtc.py

notebooks: env  ## run every lesson, and compare it with what its notebook shows
	$(ONE_THREAD) $(BIN)/python -m minirnn.lessons.notebooks notebooks

lessons: env  ## run every lesson's text, and write its notebook and the README's thumbnails anew
	$(ONE_THREAD) $(BIN)/python -m minirnn.lessons.notebooks notebooks --write
	$(BIN)/python -m minirnn.lessons.pictures

site: env  ## make the site from lessons, guide and docstrings, in site/_build/html
	$(BIN)/python -m sphinx --quiet --fresh-env --fail-on-warning --builder html site site/_build/html
	$(BIN)/python site/check.py site/_build/html
	@echo "Open site/_build/html/index.html in a browser"

upgrade: env  ## install the newest versions that pyproject.toml allows and write them to constraints.txt
	$(BIN)/python -m pip install --quiet --upgrade --upgrade-strategy eager --editable '.[convert,imagenet,lab,test,lint,mpi,site,tensorboard]'
	$(BIN)/python -m pip install --quiet --upgrade --no-deps stardist
	@sed -n '/^#/p' constraints.txt > constraints.new
	@$(BIN)/python -m pip freeze --exclude-editable --exclude minirnn | grep -E '^[A-Za-z0-9_.-]+==' \
		| sed 's/+.*//' >> constraints.new  # torch 2.13.0+cpu is pinned as 2.13.0: any build of it
	@mv constraints.new constraints.txt
	@touch $(STAMP) $(REFERENCES)
	@git --no-pager diff --stat -- constraints.txt

clean:  ## remove caches and builds (keeps .venv, data and runs)
	rm -rf build dist site/_build site/guide site/lessons site/pictures site/extra *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find minirnn tests notebooks -name __pycache__ -prune -exec rm -rf {} +
	find notebooks -name .ipynb_checkpoints -prune -exec rm -rf {} +
