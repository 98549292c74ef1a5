# facematch: PostgreSQL extension for in-database face matching.  Built with PGXS; `make install PG_CONFIG=...`.
EXTENSION = facematch
EXTVERSION = $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" facematch.control)

MODULE_big = facematch
# src/accuracy is a module of its own: it opens OpenBLAS, which a backend that only searches must not.
ACCURACY_SOURCES = $(sort $(wildcard src/accuracy/*.c)) src/base/query.c
ACCURACY_OBJS = $(ACCURACY_SOURCES:.c=.o)
SOURCES = $(filter-out $(ACCURACY_SOURCES),$(sort $(wildcard src/*.c src/*/*.c)))
OBJS = $(SOURCES:.c=.o)
ALL_HEADERS = $(sort $(wildcard src/*.h src/*/*.h))

# The parts of the extension script, in reading order: sql/MANIFEST.
SQL_PARTS = $(addprefix sql/,$(shell cat $(or $(srcdir),.)/sql/MANIFEST))
DATA_built = facematch--$(EXTVERSION).sql

# Results must not depend on the compiler's taste for fused multiply-add: every kernel sums in the same order with the
# same roundings (src/simd/README.md).  No -march here: instruction sets are chosen per function and at run time.
PG_CPPFLAGS = -I$(srcdir)/src -DFACEMATCH_VERSION='"$(EXTVERSION)"'
# -ffile-prefix-map: the same bytes wherever the sources lie.
PG_CFLAGS = -ffile-prefix-map='$(CURDIR)'=. -std=gnu11 -Wextra -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers -ffp-contract=off $(FACEMATCH_CFLAGS)
# FACEMATCH_OPENBLAS=PATH: the serial OpenBLAS, where it is not in Debian's place (src/accuracy/openblas.c).
ifdef FACEMATCH_OPENBLAS
PG_CPPFLAGS += -DFACEMATCH_OPENBLAS='"$(FACEMATCH_OPENBLAS)"'
endif
# -lcrypto: src/sealing
SHLIB_LINK = -lm -lcrypto $(FACEMATCH_LDFLAGS)

EXTRA_CLEAN = $(DATA_built) facematch_accuracy.so $(ACCURACY_OBJS) results built-for

PG_CONFIG ?= pg_config
PG_VERSION := $(shell '$(PG_CONFIG)' --version)
PG_HEADERS := $(shell '$(PG_CONFIG)' --includedir-server)
# A pg_config comes with clients too, without the headers.
ifneq ($(shell test -e '$(PG_HEADERS)/postgres.h' && echo yes),yes)
PG_MAJOR := $(or $(firstword $(subst ., ,$(word 2,$(PG_VERSION)))),15)
$(error $(PG_CONFIG) knows of no headers of the server of PostgreSQL $(PG_MAJOR): install them \
(Debian: postgresql-server-dev-$(PG_MAJOR)), or name another PostgreSQL by PG_CONFIG=/path/to/pg_config)
endif
PGXS := $(shell '$(PG_CONFIG)' --pgxs)
include $(PGXS)

# PGXS does not track headers: rebuild on any change of one.
$(OBJS) $(OBJS:.o=.bc) $(ACCURACY_OBJS): $(ALL_HEADERS) built-for

# Nor which PostgreSQL objects were compiled for: `make` and `make install PG_CONFIG=...` may name two.
built-for: FORCE
	@echo '$(PG_VERSION) $(PG_HEADERS)' | cmp -s - $@ || echo '$(PG_VERSION) $(PG_HEADERS)' >$@
FORCE:

# Loops over tiles of scores, and over labels.
$(ACCURACY_OBJS): CFLAGS += $(CFLAGS_VECTORIZE)

# PGXS builds one module of many files; this is the second, without bitcode: there is nothing in it to inline.
all: facematch_accuracy.so

facematch_accuracy.so: $(ACCURACY_OBJS)
	$(CC) $(CFLAGS) $(ACCURACY_OBJS) $(LDFLAGS) $(LDFLAGS_SL) -shared -o $@ $(filter-out -lcrypto,$(SHLIB_LINK))

install: install-accuracy
install-accuracy: facematch_accuracy.so installdirs
	$(INSTALL_SHLIB) facematch_accuracy.so '$(DESTDIR)$(pkglibdir)/facematch_accuracy.so'

uninstall: uninstall-accuracy
uninstall-accuracy:
	rm -f '$(DESTDIR)$(pkglibdir)/facematch_accuracy.so'

.PHONY: FORCE install-accuracy uninstall-accuracy

# The extension script, joined from its parts in reading order.
facematch--$(EXTVERSION).sql: $(SQL_PARTS) sql/MANIFEST
	cat $(SQL_PARTS) > $@

# The .sql tests of every domain against an installed facematch, each in a database of its own, as script/test runs them.
SQL_TESTS = $(filter-out test/lib/% test/acceptance/%,$(sort $(wildcard test/*/*.sql)))

# One after the other: the open snapshot of one test would show in the VACUUM of another.
installcheck:
	@failed=; for f in $(SQL_TESTS); do \
		t=$$(basename $$f .sql); rm -rf results/$$t; mkdir -p results/$$t/sql; \
		ln -s '$(CURDIR)'/$$f results/$$t/sql/; ln -s '$(CURDIR)'/expected results/$$t/expected; \
		$(pg_regress_installcheck) --inputdir=results/$$t --outputdir=results/$$t --dbname=facematch_$$t --encoding=UTF8 \
			--load-extension=pgcrypto --load-extension=facematch $$t || { cat results/$$t/regression.diffs; failed="$$failed $$t"; }; \
	done; test -z "$$failed" || { echo "failed:$$failed"; exit 1; }

# The demonstration for an installed facematch, and the synthetic faces it makes where there are no real ones.
install-demo: installdirs
	$(MAKE) -C bench synthfaces
	$(MKDIR_P) '$(DESTDIR)$(datadir)/facematch'
	$(INSTALL_SCRIPT) script/demo '$(DESTDIR)$(datadir)/facematch/demo'
	$(INSTALL_SCRIPT) script/report '$(DESTDIR)$(datadir)/facematch/report'
	$(INSTALL_DATA) script/lib.sh '$(DESTDIR)$(datadir)/facematch/lib.sh'
	$(INSTALL_PROGRAM) bench/synthfaces '$(DESTDIR)$(pkglibdir)/facematch-synthfaces'

clean-demo:
	$(MAKE) -C bench clean

# A release: what git has, under the name that PGXN and Debian expect.
dist:
	git archive --format=zip --prefix=facematch-$(EXTVERSION)/ -o facematch-$(EXTVERSION).zip HEAD
	git archive --format=tar.gz --prefix=facematch-$(EXTVERSION)/ -o facematch-$(EXTVERSION).tar.gz HEAD

.PHONY: installcheck install-demo clean-demo dist
