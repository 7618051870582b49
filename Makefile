# Makefile
#
# power_action is built as every PostgreSQL extension is: make, make install,
# make installcheck (a server that preloads power_action must be running).
#
#   make demo            see it work; installs the packages that are missing
#   make check           every test, in private servers
#   make bench           what an action costs on this machine; QUICK=1, SAVE=1,
#                        ONLY="scenario ..." (test/bench/run)
#   make storm           faults at random; SEED=n, SECONDS=n (300)
#   make unit            unit tests; SANITIZE=address or SANITIZE=thread
#   make fuzz            random input to what reads input; TIME=seconds for
#                        each target (60), FUZZ="name ..."
#   make lint            strict warnings of gcc and clang, clang-tidy, cppcheck
#   make valgrind        unit tests and the courier under valgrind
#   make stage STAGE=dir a private copy of PostgreSQL with power_action in it
#
# WERROR=1 makes warnings errors.  PG_CONFIG names another PostgreSQL.
# LIBVIRT=no builds a power_agent without the provider libvirt.
# SYSTEMD=no installs no unit, SYSTEMD=yes does; else it is installed if DESTDIR
# is set or where systemd wants it may be written.

PG_CONFIG ?= pg_config
export PG_CONFIG

# These install what is missing before they build, so nothing that comes from
# a package may be needed to read the rules for them.
private_goals = demo check bench storm fuzz lint valgrind

ifneq ($(filter $(private_goals),$(MAKECMDGOALS)),)

.PHONY: $(private_goals)
.NOTPARALLEL:

demo:
	@scripts/demo

check:
	@test/run

bench:
	@test/bench/run

# To bash, SECONDS is a clock.
storm:
	@STORM_SECONDS=$(SECONDS) test/storm/run

# In the tree itself: what was found is kept in build/fuzz.
fuzz:
	@scripts/install-packages test
	@$(MAKE) --no-print-directory -s -j"$$(nproc)" SANITIZE=fuzz run-fuzz

lint:
	@scripts/install-packages test
	@$(MAKE) --no-print-directory -s run-lint

valgrind:
	@scripts/install-packages test
	@$(MAKE) --no-print-directory -s -j"$$(nproc)" SANITIZE=valgrind run-valgrind

# Other goals beside one of these are for a make of their own.
other_goals = $(filter-out $(private_goals),$(MAKECMDGOALS))
.PHONY: $(other_goals)
$(other_goals):
	@+$(MAKE) --no-print-directory $@

else

# ----------------------------------------------------------------------
# What must be there
# ----------------------------------------------------------------------

hint = run scripts/install-packages to install what is missing

without_libvirt := $(filter no,$(LIBVIRT))

# $(call require,command that succeeds,what is missing otherwise)
require = $(if $(shell $(1) >/dev/null 2>&1 && echo yes),,\
	$(error $(2); $(hint)))

ifneq ($(filter-out clean distclean maintainer-clean uninstall,\
	$(or $(MAKECMDGOALS),all)),)
$(call require,command -v $(CC),no C compiler ($(CC)))
$(call require,command -v $(CXX),no C++ compiler ($(CXX)))
$(call require,command -v protoc-c,protoc-c not found)
$(call require,command -v pkg-config,pkg-config not found)
$(call require,pkg-config grpc,the gRPC core library (libgrpc) is missing)
$(call require,pkg-config absl_synchronization,the library Abseil is missing)
$(call require,pkg-config libssl libcrypto,the headers of OpenSSL (libssl-dev) are missing)
$(call require,pkg-config libprotobuf-c,the library protobuf-c is missing)
$(call require,pkg-config inih,the library inih is missing)
$(call require,pkg-config libcurl,the library curl is missing)
$(call require,pkg-config libxml-2.0,the library libxml2 is missing)
$(call require,pkg-config libseccomp,the library libseccomp is missing)
$(call require,pkg-config sqlite3,the library SQLite is missing)
$(call require,pkg-config jansson,the library jansson is missing)
$(call require,pkg-config libmicrohttpd,the library libmicrohttpd is missing)
$(call require,pkg-config libsystemd,the library libsystemd is missing)
$(if $(without_libvirt),,$(call require,pkg-config libvirt,\
	the library libvirt is missing (LIBVIRT=no builds without it)))
endif

PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)
ifeq ($(PGXS),)
$(error $(PG_CONFIG) not found; $(hint), or set PG_CONFIG)
endif
ifeq ($(wildcard $(PGXS)),)
$(error $(PG_CONFIG) is there, but not the server headers ($(PGXS)); $(hint))
endif

# ----------------------------------------------------------------------
# The extension
# ----------------------------------------------------------------------

EXTENSION = power_action
MODULE_big = power_action
PGFILEDESC = "power_action - cluster power operations as SQL"
DATA = $(wildcard sql/power_action--*.sql)

OBJS = $(patsubst %,src/%.o,\
	agent_option agent_server apply argument backoff claim clock \
	cluster_store courier_link database_hooks dispatch ending event_rule event_store extension_info \
	file_rule frame_format inventory inventory_reader \
	job_reader job_store launcher outcome outcome_store \
	phase plain_table power_action queue queue_job request request_item request_store \
	request_target row_reader row_writer settings \
	shared_state stats status_code store_plan table_layout target target_store \
	verdict wait wait_event wire_text words \
	worker worker_slot worker_transaction workload) \
	build/proto/courier.pb-c.o

# What has no expected output is a pgTAP test, for pg_prove.
REGRESS = $(foreach test,$(patsubst test/sql/%.sql,%,$(wildcard test/sql/*.sql)),\
	$(if $(wildcard expected/$(test).out),$(test)))
REGRESS_OPTS = --inputdir=test --outputdir=.

# A member that an initializer leaves out is zero, and meant to be.
warnings = -Wall -Wextra -Wmissing-prototypes -Wno-unused-parameter \
	-Wno-missing-field-initializers $(if $(WERROR),-Werror)

PG_CPPFLAGS = -Isrc -Ibuild/proto -MMD -MP
PG_CFLAGS = $(warnings)
SHLIB_LINK = -lprotobuf-c

EXTRA_CLEAN = build $(wildcard src/*.d)

# The bitcode for the JIT compiler would need the generated headers, too, and
# no function here is one to inline.
override with_llvm = no

# PGXS puts its "all" first, but a rule of ours must not come before it.
all:
include $(PGXS)

# ----------------------------------------------------------------------
# Generated code
# ----------------------------------------------------------------------

proto_headers = $(patsubst %,build/proto/%.pb-c.h,agent courier health)
.SECONDARY: $(proto_headers) $(proto_headers:.h=.c)

# One run writes the code and its header.
build/proto/%.pb-c.c build/proto/%.pb-c.h: proto/%.proto
	@mkdir -p build/proto
	protoc-c --proto_path=proto --c_out=build/proto $<

$(OBJS): | $(proto_headers)

# ----------------------------------------------------------------------
# The programs
#
# Neither uses anything of PostgreSQL.  Each variant of SANITIZE and
# LIBVIRT has a directory of its own, so that they do not get into each
# other's way.
# ----------------------------------------------------------------------

variant := build/$(or $(SANITIZE),plain)$(if $(without_libvirt),-without-libvirt)

sanitize_address = -fsanitize=address,undefined -fno-sanitize-recover=undefined
sanitize_thread = -fsanitize=thread
sanitize_flags = $(sanitize_$(SANITIZE))

sanitize_fuzz = $(sanitize_address) -fsanitize=fuzzer-no-link

sanitize_valgrind = -DPA_FOR_VALGRIND

ifneq ($(filter-out address thread fuzz valgrind,$(SANITIZE)),)
$(error SANITIZE is "address", "thread", "fuzz" or "valgrind", not "$(SANITIZE)")
endif
ifeq ($(SANITIZE),fuzz)
# libFuzzer comes with clang.
CC = clang
CXX = clang++
warnings += -Wno-unknown-warning-option
endif

# Truncation by snprintf is meant, as it is in PostgreSQL's own sources.
program_cflags = -std=gnu11 -g $(if $(SANITIZE),-O1,-O2) $(warnings) \
	-Wno-format-truncation -fno-omit-frame-pointer -fstack-protector-strong \
	-fPIE $(sanitize_flags)
xml_cppflags := $(shell pkg-config --cflags libxml-2.0 2>/dev/null)
program_cxxflags = $(filter-out -std=% -Wmissing-prototypes,$(program_cflags)) \
	-fno-exceptions -fno-rtti $(shell pkg-config --cflags absl_synchronization 2>/dev/null)
program_cppflags = $(if $(SANITIZE),,-D_FORTIFY_SOURCE=2) \
	-Isrc -Ibuild/proto $(xml_cppflags) -MMD -MP
program_ldflags = -pie -pthread -Wl,-z,relro -Wl,-z,now -Wl,--as-needed \
	$(sanitize_flags)
# Of what pkg-config says, only these: the rest of it is gRPC's own.
program_libs := $(shell pkg-config --libs-only-L grpc libprotobuf-c libseccomp 2>/dev/null) \
	-lgrpc -lgpr -labsl_synchronization -lprotobuf-c -lseccomp -linih -lcurl -lxml2 -ljansson -lsqlite3 -lmicrohttpd -lssl -lcrypto -lsystemd \
	$(if $(without_libvirt),,-lvirt)

courier_program = $(variant)/power_action_courier
agent_program = $(variant)/power_agent

courier_objects = $(patsubst %,$(variant)/src/courier/%.o,\
	arena call call_table channel credentials delivery frame log loop main \
	output pace reply result sandbox server sharing stream streamed text unary)
libvirt_objects = $(if $(without_libvirt),libvirt_absent,\
	libvirt_account libvirt_domain libvirt_order provider_libvirt)
agent_objects = $(patsubst %,$(variant)/src/agent/%.o,\
	account account_file action arena behaviour call command_answer \
	command_words connection durability ec2_account ec2_batch \
	ec2_credentials ec2_order ec2_pace ec2_query ec2_result exposition \
	flat_json health http_loop ini_file ledger log loopback main method metric \
	metrics_server notify options plain_text process_loop process_usage \
	provider_command provider_ec2 provider_router provider_simulated \
	provider_types reply_fault report request rule_file server service sigv4 \
	status_name store store_file stream stream_request table timer tls token \
	units wire \
	$(libvirt_objects))
# What both programs use.
shared_objects = $(patsubst %,$(variant)/src/program/%.o,\
	bearer clock file memory mutexes pem scheduling secret utf8)
# The pure files of the ground floor serve the programs and the extension.
pure_objects = $(patsubst %,$(variant)/src/%.o,\
	backoff file_rule frame_format status_code target verdict words)
proto_objects = $(patsubst %,$(variant)/proto/%.pb-c.o,agent courier health)

$(variant)/%.o: %.c | $(proto_headers)
	@mkdir -p $(@D)
	$(CC) $(program_cflags) $(program_cppflags) -c -o $@ $<

$(variant)/%.o: %.cc
	@mkdir -p $(@D)
	$(CXX) $(program_cxxflags) $(program_cppflags) -c -o $@ $<

$(variant)/proto/%.o: build/proto/%.c build/proto/%.h
	@mkdir -p $(@D)
	$(CC) $(program_cflags) $(program_cppflags) -c -o $@ $<

# An archive, so that a program gets only the members it uses.
$(variant)/libcommon.a: $(proto_objects) $(shared_objects) $(pure_objects)
	@rm -f $@
	$(AR) crs $@ $^

link_program = $(CC) $(program_ldflags) -o $@ $(filter %.o,$^) \
	$(filter %.a,$^) $(program_libs)

$(courier_program): $(courier_objects) $(variant)/libcommon.a
	$(link_program)

$(agent_program): $(agent_objects) $(variant)/libcommon.a
	$(link_program)

.PHONY: programs
programs: $(courier_program) $(agent_program)

all: programs

install: install-programs install-service
.PHONY: install-programs
install-programs: programs
	$(MKDIR_P) '$(DESTDIR)$(pkglibdir)' '$(DESTDIR)$(bindir)'
	$(INSTALL_PROGRAM) $(courier_program) '$(DESTDIR)$(pkglibdir)/'
	$(INSTALL_PROGRAM) $(agent_program) '$(DESTDIR)$(bindir)/'

uninstall: uninstall-programs uninstall-service
.PHONY: uninstall-programs
uninstall-programs:
	rm -f '$(DESTDIR)$(pkglibdir)/$(notdir $(courier_program))'
	rm -f '$(DESTDIR)$(bindir)/$(notdir $(agent_program))'

# The agent as a service of systemd, and its manual page.  Where systemd wants
# its files is what it says itself, if it is there.
systemd_says = $(shell pkg-config --variable=$(1) systemd 2>/dev/null)
unit_dir := $(or $(call systemd_says,systemdsystemunitdir),/usr/lib/systemd/system)
sysusers_dir := $(or $(call systemd_says,sysusersdir),/usr/lib/sysusers.d)

# PostgreSQL may be installed where its user may write, systemd is not there.
SYSTEMD ?= $(if $(DESTDIR),yes,$(shell test -w '$(unit_dir)' && \
	test -w '$(sysusers_dir)' && echo yes || echo no))

.PHONY: install-service install-manual
install-service: install-manual
install-manual:
	$(MKDIR_P) '$(DESTDIR)$(mandir)/man8'
	$(INSTALL_DATA) doc/man/power_agent.8 '$(DESTDIR)$(mandir)/man8/'

ifneq ($(SYSTEMD),no)
install-service: install-unit
endif
.PHONY: install-unit
install-unit:
	$(MKDIR_P) '$(DESTDIR)$(unit_dir)' '$(DESTDIR)$(sysusers_dir)'
	sed 's,@bindir@,$(bindir),' src/agent/power_agent.service.in \
		>'$(DESTDIR)$(unit_dir)/power_agent.service'
	chmod 644 '$(DESTDIR)$(unit_dir)/power_agent.service'
	$(INSTALL_DATA) src/agent/power_agent.sysusers \
		'$(DESTDIR)$(sysusers_dir)/power_agent.conf'

# The unit may be that of another installation: it names its program.
.PHONY: uninstall-service
uninstall-service:
	rm -f '$(DESTDIR)$(mandir)/man8/power_agent.8'
	if grep -qsF 'ExecStart=$(bindir)/power_agent ' \
		'$(DESTDIR)$(unit_dir)/power_agent.service'; then \
		rm -f '$(DESTDIR)$(unit_dir)/power_agent.service' \
			'$(DESTDIR)$(sysusers_dir)/power_agent.conf'; \
	fi

# ----------------------------------------------------------------------
# A private copy of the server
# ----------------------------------------------------------------------

.PHONY: stage
stage: all
	@scripts/stage '$(STAGE)'

# ----------------------------------------------------------------------
# Unit tests
#
# What a test needs stands in its first lines: the objects under src it is
# linked with, and the programs it wants as arguments.
#     /* objects: courier/frame backoff */
#     /* needs: power_action_courier power_agent */
# ----------------------------------------------------------------------

UNIT = $(filter-out $(if $(without_libvirt),agent_libvirt_test),\
	$(patsubst test/unit/%.c,%,$(wildcard test/unit/*_test.c)))
unit_sources = $(patsubst %,test/unit/%.c,$(UNIT))
unit_programs = $(patsubst %.c,$(variant)/%,$(unit_sources))
unit_word = $(shell sed -n '1,20s,^.*/\* *$(1): *\(.*[^ ]\) *\*/.*,\1,p' $(2))

# $(call unit_rule,source)
define unit_rule
$(variant)/$(1:.c=): $(variant)/$(1:.c=.o) $(patsubst %,$(variant)/src/%.o,\
	$(call unit_word,objects,$(1))) $(variant)/libcommon.a
	$$(link_program)
endef

# Under valgrind, those that measure no times: not how soon a courier ends, nor
# what an agent does within a call's deadline; nor what valgrind stands in the
# way of, the filter of system calls, and programs that must inherit nothing.
valgrind_sources = $(filter-out $(patsubst %,test/unit/%_test.c,\
	agent_fault agent_process agent_programs courier_end courier_sandbox),\
	$(unit_sources))
# SHORT=1: the courier, what it shares with the agent, and what is pure.
ifdef SHORT
valgrind_sources := $(filter-out test/unit/agent_%,$(valgrind_sources))
endif

ifneq ($(filter unit unit-programs run-valgrind,$(MAKECMDGOALS)),)
$(foreach source,$(unit_sources),$(eval $(call unit_rule,$(source))))
endif

.PHONY: unit unit-programs
unit-programs: $(unit_programs) programs
unit: unit-programs
	@prove --exec 'test/run-unit $(variant)' $(unit_sources)

.PHONY: run-valgrind
run-valgrind: $(valgrind_sources:%.c=$(variant)/%) programs
	@prove --jobs $(shell nproc) --exec 'test/run-unit $(variant)' \
		$(valgrind_sources)

# ----------------------------------------------------------------------
# Fuzzing
#
# A target says in its first lines which objects it is linked with, as a unit
# test does.  "make fuzz" calls this with SANITIZE=fuzz.
# ----------------------------------------------------------------------

FUZZ = $(patsubst test/fuzz/%_fuzz.c,%,$(wildcard test/fuzz/*_fuzz.c))
fuzz_sources = $(patsubst %,test/fuzz/%_fuzz.c,$(FUZZ))
fuzz_programs = $(patsubst %.c,$(variant)/%,$(fuzz_sources))

$(fuzz_programs): private program_ldflags += -fsanitize=fuzzer

ifneq ($(filter run-fuzz,$(MAKECMDGOALS)),)
$(foreach source,$(fuzz_sources),$(eval $(call unit_rule,$(source))))
endif

.PHONY: run-fuzz
run-fuzz: $(fuzz_programs)
	@FUZZ_SECONDS=$(or $(TIME),60) prove --timer --jobs $(shell nproc) \
		--exec 'test/fuzz/run $(variant)' $(fuzz_sources)

# ----------------------------------------------------------------------
# Instructions, counted
#
# Of the programs as they are installed, without a sanitizer.
# ----------------------------------------------------------------------

cost_sources = $(wildcard test/cost/*_cost.c)
cost_programs = $(cost_sources:%.c=$(variant)/%)

ifneq ($(filter run-cost,$(MAKECMDGOALS)),)
$(foreach source,$(cost_sources),$(eval $(call unit_rule,$(source))))
endif

.PHONY: run-cost
run-cost: $(cost_programs)
	@CC='$(CC)' prove $(if $(VERBOSE),--verbose) test/cost/run :: $(cost_programs)

# ----------------------------------------------------------------------
# Static analysis
# ----------------------------------------------------------------------

.PHONY: run-lint
run-lint: $(proto_headers)
	@prove test/lint/run

-include $(wildcard src/*.d build/proto/*.d $(variant)/src/*.d \
	$(variant)/src/*/*.d $(variant)/proto/*.d $(variant)/test/*/*.d)

endif
