# Shortcuts for those who have make; dev.py does the work and needs only CPython 3.11+.
PYTHON ?= python3
SEED ?= 1

.PHONY: check test simulate run
check:
	$(PYTHON) dev.py check
test:
	$(PYTHON) dev.py test
simulate:
	$(PYTHON) dev.py simulate --seed $(SEED)
run:
	$(PYTHON) dev.py run
