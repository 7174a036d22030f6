# nuboctl: one command for each thing that is done here. `make help` lists them.
SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --always --dirty --tags 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X github.com/nuboctl/nuboctl/pkg/app.Version=$(VERSION)
GO      := CGO_ENABLED=0 go
BINARIES := nuboctl nubo-agent nubo-bootd nubo-lab

.PHONY: help build packages test e2e e2e-long demo demo-one demo-down bench fuzz properties sim lint fmt clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## static binaries in bin/
	@mkdir -p bin
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ $(addprefix ./cmd/,$(BINARIES))

packages: ## install the Debian packages that lab and tests use
	@./e2e/host-packages

test: packages ## all quick tests (about 9 minutes on two cores)
	go vet ./...
	go test -timeout 45m ./... # of one package; on a machine ten times slower too

e2e: packages build ## the virtual rack, end to end, against the services' own tools
	go test -tags e2e -count=1 -v -timeout 60m ./e2e/

e2e-long: packages build ## everything in the lab, from nothing, as long as it takes
	NUBO_LONG=1 go test -count=1 -v -timeout 60m -run TestPowerCut ./pkg/installer
	go test -tags e2e,e2elong -count=1 -v -timeout 6h ./e2e/

demo: packages build ## three powered-off blades become a region: hypervisors, one Ceph cluster, virtual machines; leaves the rack running
	@./e2e/demo up

demo-one: packages build ## one blade and one virtual machine only; takes a quarter of the time
	@./e2e/demo one

demo-down: ## take the demo's rack down
	@./e2e/demo down

bench: packages build ## figures for docs/performance.md
	@./e2e/bench

fuzz: ## every fuzz test for FUZZTIME (30s) each; make test runs their seeds
	@./e2e/fuzz $(FUZZTIME)

properties: ## every property test with CHECKS (2000) new cases; make test draws the same 100 each time
	@./e2e/properties $(CHECKS)

SIM_SEED ?= 1
sim: build ## 2,000 rollouts of 24 blades and 300 of 260 in the simulated data centre; SIM_SEED=N goes on elsewhere
	bin/nuboctl simulate --fleet small --rollouts 1500 --seed $(SIM_SEED)
	bin/nuboctl simulate --fleet small --rollouts 500 --faults harsh --seed $(SIM_SEED)
	bin/nuboctl simulate --fleet region --rollouts 300 --seed $(SIM_SEED)

lint: ## static analysis with the tools pinned in go.mod
	test -z "$$(gofmt -l cmd pkg e2e)" || { gofmt -l cmd pkg e2e; exit 1; }
	go vet ./...
	go tool staticcheck -checks inherit,-ST1005 ./... # names such as "Open vSwitch" begin errors

fmt: ## format
	gofmt -w cmd pkg e2e

clean: ## remove what was built (images and racks stay: see nubo-lab down, nuboctl image)
	rm -rf bin
