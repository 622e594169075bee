# make run     the console at http://127.0.0.1:8000, with a demonstration partner and a stand-in for Heartland Retail
# make test    every test
# make drill   whether what keeps installations alive holds, one row for each drill
# make bench   how fast the pages and the workers are, as one table
# make lock    requirements.txt and requirements-test.txt anew, from pyproject.toml

PORT ?= 8000
STAND_IN_PORT ?= $(shell expr $(PORT) + 1)
PYTHON ?= python3
BIN := .venv/bin

HEARTLAND := http://127.0.0.1:$(STAND_IN_PORT)
run: export BASE_URL := http://127.0.0.1:$(PORT)
run: export STAND_IN_ORIGINS := https://retail.heartland.us=$(HEARTLAND),https://*.retail.heartland.us=$(HEARTLAND)

.PHONY: run test drill bench lock clean

run: .venv/run .env
	@$(BIN)/python -c "import socket; [socket.create_server(('127.0.0.1', port)).close() for port in ($(PORT), $(STAND_IN_PORT))]" 2>/dev/null \
	  || { echo "Port $(PORT) or $(STAND_IN_PORT) is taken. Choose another:  make run PORT=8100"; exit 1; }
	@mkdir -p var
	@$(BIN)/python manage.py migrate --verbosity 0
	@$(BIN)/python manage.py collectstatic --noinput --verbosity 0
	@echo
	@$(BIN)/python manage.py demo
	@echo "Stand-in for Heartland Retail:  $(HEARTLAND)/"
	@echo "The console:                    $(BASE_URL)/     (Ctrl-C ends it)"
	@echo
	@$(BIN)/python -m tests.stand_ins.heartland --port $(STAND_IN_PORT) --state var/stand-in.json & stand_in=$$!; \
	  LOG_LEVEL=WARNING $(BIN)/python manage.py worker & worker=$$!; \
	  trap "kill $$stand_in $$worker 2>/dev/null" EXIT INT TERM; \
	  $(BIN)/gunicorn console.wsgi --bind 127.0.0.1:$(PORT) --worker-class gthread --threads 16 --log-level warning

test: .venv/test
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile $(ARGS)

drill: .venv/test
	@$(BIN)/python -m tests.drill $(ARGS)

bench: .venv/test
	$(BIN)/python -m tests.bench

.env: | .venv/bin/python
	@(umask 077; $(BIN)/python -m console.keys > .env.new && mv .env.new .env)

.venv/bin/python:
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || { echo "Python 3.11 or newer is needed: make run PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; echo "Python's venv module is missing. On Debian: apt install python3-venv"; exit 1; }

.venv/run: .venv/bin/python requirements.txt
	@echo "Installing what the console needs; this takes about half a minute…"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@touch $@

.venv/test: .venv/bin/python requirements-test.txt
	@echo "Installing what the tests need; this takes about a minute…"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-test.txt
	@touch $@ .venv/run

lock: .venv/test
	$(BIN)/uv pip compile pyproject.toml --quiet --upgrade --universal --generate-hashes --no-header --output-file requirements.txt
	$(BIN)/uv pip compile pyproject.toml --quiet --extra test --universal --generate-hashes --no-header --constraint requirements.txt --output-file requirements-test.txt

clean:
	rm -rf .venv var/static .pytest_cache .ruff_cache .import_linter_cache
