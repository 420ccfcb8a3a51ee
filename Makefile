# Qingting (倾听). `make help` lists the targets.
SHELL := /bin/bash
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
# netgo, osusergo and the missing SQLite extension loader keep glibc's dynamic
# parts out, so that the binary is static and runs copied alone.
TAGS    := netgo,osusergo,sqlite_omit_load_extension,nomsgpack
LDFLAGS := -s -w -X main.version=$(VERSION) -linkmode external -extldflags "-static"
GO      ?= go
DATA    ?= ../shared/data
ADDR    ?= 127.0.0.1:8080

.DEFAULT_GOAL := help
.PHONY: help build run test check race fuzz bench train eval eval-quick gate behave report-test ablation load chaos soak clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

build: ## build the one static binary bin/qingting
	@command -v $(GO) >/dev/null || { echo "需要 Go 1.26 或更新版本：https://go.dev/dl/"; exit 1; }
	@command -v g++ >/dev/null || command -v clang++ >/dev/null || command -v c++ >/dev/null || { echo "需要 C/C++ 编译器（Debian/Ubuntu：apt-get install build-essential）"; exit 1; }
	@mkdir -p bin
	CGO_ENABLED=1 $(GO) build -trimpath -tags $(TAGS) -ldflags '$(LDFLAGS)' -o bin/qingting ./cmd/qingting

run: build ## build and serve on http://127.0.0.1:8080 with everything built in
	./bin/qingting serve --addr $(ADDR)

test: ## run every test that needs nothing but this folder
	$(GO) test -tags $(TAGS) ./...

check: ## formatting, vet, staticcheck
	@out=$$($(GO) run mvdan.cc/gofumpt@v0.9.2 -l .); if [ -n "$$out" ]; then echo "not formatted (gofumpt):"; echo "$$out"; exit 1; fi
	$(GO) vet -tags $(TAGS) ./...
	$(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2 -tags $(TAGS) ./...

# Pure arithmetic takes many minutes under the detector and is left out.
race: ## the tests again, shuffled, under the race detector
	$(GO) test -race -shuffle=on -short -tags $(TAGS) $$($(GO) list ./... | grep -vE 'internal/(encoder|simd|linear)|cmd/')

FUZZTIME ?= 5s
fuzz: ## run every fuzz target for FUZZTIME (5s)
	@packages=$$($(GO) list -tags $(TAGS) ./...) || exit 1; \
	for pkg in $$packages; do \
	  targets=$$($(GO) test -tags $(TAGS) -list '^Fuzz' $$pkg 2>&1) || { echo "$$targets"; exit 1; }; \
	  for f in $$(grep '^Fuzz' <<< "$$targets"); do \
	    echo "fuzz $$pkg $$f"; \
	    out=$$($(GO) test -tags $(TAGS) -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$pkg 2>&1) || { echo "$$out"; exit 1; }; \
	    tail -1 <<< "$$out"; done; done

bench: build ## time every stage, and the whole triage in both modes
	$(GO) test -tags $(TAGS) -run '^$$' -bench . -benchmem ./...
	./bin/qingting eval speed

train: build ## train the model again from DATA (../shared/data) into internal/linear/weights
	./bin/qingting train --data $(DATA) --out internal/linear/weights/model.bin --cache out/cache

eval-quick: build ## the headline figures on DATA/labelled/dev.jsonl (needs the labelled sets)
	./bin/qingting eval quick --data $(DATA) --out out
	@if [ -f $(DATA)/../tools/score.py ]; then echo; echo "the reference scorer on out/dev-full.jsonl:"; python3 $(DATA)/../tools/score.py $(DATA)/labelled/dev.jsonl out/dev-full.jsonl; fi

eval: build ## every public set under DATA, both modes and the baselines, and the behavioural tests, with a report in out/eval (some 20 minutes)
	./bin/qingting eval run --data eval/sets.yaml --root $(DATA) --system full,fast,keyword,bm25,majority,always_high,never_high --out out/eval
	./bin/qingting eval behave --system full,fast --json out/eval/behave.json >/dev/null || [ $$? -eq 1 ] # 1: some tests fail, which the report shows
	./bin/qingting eval report out/eval --behave out/eval/behave.json --out out/eval/report.html

gate: build ## hold the suite of this project against its committed baseline, as CI does
	@rm -rf out/gate
	./bin/qingting eval run --data eval/testdata/suite/dataset.yaml --system full,fast --out out/gate
	./bin/qingting eval gate out/gate --policy eval/testdata/gates.yaml --baseline eval/testdata/baseline --junit out/gate.xml

behave: build ## behavioural tests in both modes; fails on what is not a known failure
	./bin/qingting eval behave --system full,fast --against known

report-test: build ## open the evaluation report in a real browser (needs Node, npm and Chromium; skipped without)
	sh eval/report/browser/run.sh

ablation: build ## what words, encoder and rules each add, trained again on DATA (a few minutes)
	./bin/qingting eval quick --data $(DATA) --ablation --cache out/cache

load: ## hold the running service against its promises of speed (some 6 minutes, wants the machine for itself; QINGTING_SECONDS=5 for a quick look)
	QINGTING_LOAD=1 $(GO) test -tags $(TAGS) -count 1 -timeout 30m -v ./internal/acceptance/

chaos: ## kill it, fill its disk, lock its database, send it bad clients (some 3 minutes; QINGTING_SECONDS=5 for a quick look)
	QINGTING_CHAOS=1 $(GO) test -tags $(TAGS) -count 1 -parallel 4 -timeout 30m -v ./internal/acceptance/

soak: ## ten minutes of mixed work: memory, goroutines, descriptors (QINGTING_SECONDS for less)
	QINGTING_SOAK=1 $(GO) test -tags $(TAGS) -count 1 -timeout 40m -v ./internal/acceptance/

clean: ## remove what was built
	rm -rf bin out
