# Everything runs from the project's own virtual environment (.venv, made by pipenv, with its own Node).
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
PYTEST := pytest -n auto --dist worksteal -q $(if $(CI),--durations=25)
export PATH := $(CURDIR)/.venv/bin:$(CURDIR)/node_modules/.bin:$(PATH):$(CURDIR)/build/pipenv/bin
export PIPENV_VENV_IN_PROJECT := 1
# Not into the environment of another project, which pipenv would take where one is active.
export PIPENV_IGNORE_VIRTUALENVS := 1
export PIPENV_VERBOSITY := -1
# Neither cdktf nor Terraform nor npm needs to phone home.
export CHECKPOINT_DISABLE := 1
export DISABLE_VERSION_CHECK := 1
export npm_config_update_notifier := false
# The user's home stays as it is: pip, pipenv, virtualenv, npm, jsii and cdktf keep what they keep below build/.
CACHE := $(CURDIR)/build/cache
export XDG_CACHE_HOME := $(CACHE)
export VIRTUALENV_OVERRIDE_APP_DATA := $(CACHE)/virtualenv
export npm_config_cache := $(CACHE)/npm
export JSII_RUNTIME_PACKAGE_CACHE_ROOT := $(CACHE)/jsii
export CDKTF_HOME := $(CACHE)/cdktf
export CDKTF_DISABLE_PLUGIN_CACHE_ENV := 1
# A setting for another machine's Terraform, left over in the environment, would make every call warn.
ifneq ($(TF_CLI_CONFIG_FILE),)
ifeq ($(wildcard $(TF_CLI_CONFIG_FILE)),)
$(info TF_CLI_CONFIG_FILE names a file that does not exist; it is ignored here)
unexport TF_CLI_CONFIG_FILE
endif
endif

LAB_CACHE := /var/cache/pve-agents-lab
SCHEMA := $(wildcard schemas/proxmox@*.json)
SHELL_SCRIPTS := $(shell grep -lE '^\#!/(usr/bin/env bash|bin/sh)$$' scripts/* tests/lab/image/* tests/lab/gateway_image/* .ci/run 2>/dev/null) \
	$(shell grep -rIlE '^\#!/(usr/bin/env bash|bin/sh)$$' constructs)
PYTHON_SCRIPTS := $(shell grep -lE '^\#!.*python' scripts/* 2>/dev/null)

.PHONY: help setup bindings synth demo test long scripts compose agent lab lint format bench lock clean

help: ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: .venv/.synced node_modules/.package-lock.json imports/.generated ## install everything, Terraform as well; generate the bindings
# Where PYTHONDONTWRITEBYTECODE is set, as in many images for CI, each synth would compile them anew.
	@python -m compileall -q constructs stacks imports

.venv/.synced: Pipfile.lock pyproject.toml scripts/terraform-environment
	@PYTHON="$(PYTHON)" scripts/python-environment
	@touch $@

node_modules/.package-lock.json: package-lock.json .venv/.synced
	@npm ci --no-audit --no-fund --loglevel=error
	@touch $@

bindings: imports/.generated ## generate the provider's bindings, offline, from schemas/

imports/.generated: $(SCHEMA) cdktf.json node_modules/.package-lock.json
	@echo "generating the provider's bindings from $(SCHEMA)"
	@CI=true CDKTF_EXPERIMENTAL_PROVIDER_SCHEMA_CACHE_PATH=$(CURDIR)/schemas cdktf get --force --log-level off >/dev/null
	@touch $@

synth: setup ## write Terraform's JSON to cdktf.out/
	@scripts/cdktf synth

demo: setup ## deploy Hermes on a virtual node and show it
	@scripts/demo

# In CI in another order each time. Not silent: whoever wants the same order again takes the seed from there.
RUN := $(if $(CI),$(PYTEST) -p randomly --randomly-seed=$(shell date +%s),@$(PYTEST))

test: setup ## unit, synth and deploy tests
	$(RUN) -m "not long"

long: setup ## those that follow an agent over several commands, or try something at each of many places
	$(RUN) -m long

scripts: setup ## the program in the container on a virtual one: every sentence, kills, hostile input
	@$(PYTEST) tests/scripts

compose: setup ## what the real Docker Compose makes of the files; gets it from Debian once where there is none
	@$(PYTEST) tests/compose

agent: setup ## what the real Hermes Agent makes of the settings; gets it from pip's index once
	@$(PYTEST) tests/agent

lab: setup ## Hermes, a gateway and an application in real containers, and what may happen to them; needs root
	@python -m tests.lab $(LAB)

lint: setup ## mypy, ruff, pyright, shellcheck, shfmt
	@ruff check .
	@ruff format --check .
	@mypy
	@mypy --scripts-are-modules $(PYTHON_SCRIPTS)
	@pyright
	@shellcheck $(SHELL_SCRIPTS)
	@shfmt --diff --indent 2 $(SHELL_SCRIPTS)

format: setup ## ruff and shfmt write what lint would ask for
	@ruff check --fix --show-fixes .
	@ruff format .
	@shfmt --write --indent 2 $(SHELL_SCRIPTS)

bench: setup ## what synth costs, as ratios
	@python -m tests.bench

lock: .venv/.synced ## resolve the dependencies anew
	@scripts/lock

clean: ## remove all that is generated; state and settings stay
	@rm -rf .venv node_modules imports cdktf.out build cdktf.log .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@if [ -d $(LAB_CACHE) ]; then echo "what the lab has built stays; away with it: sudo rm -rf $(LAB_CACHE)"; fi
