/*-------------------------------------------------------------------------
 *
 * src/agent/provider_libvirt.c
 *		Domains of a hypervisor: the keys of an account, and the loop that
 *		libvirt needs to notice a connection that is dead.  The rest is in
 *		libvirt_*.c; contract in provider_libvirt.h and libvirt_state.h.
 *
 *-------------------------------------------------------------------------
 */
#include "provider_libvirt.h"

#include <ctype.h>
#include <libvirt/virterror.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libvirt_state.h"
#include "program/memory.h"

#define SECOND	INT64_C(1000000)

static const PaSetting settings[] = {
	/* it may have a password in it */
	{"uri", PA_SETTING_TEXT, .required = true, .secret = true},
	{"force_stop", PA_SETTING_FLAG, .standard = "no"},
	{"stop_timeout", PA_SETTING_DURATION, .standard = "60s", .low = SECOND / 20,
	.high = 3600 * SECOND},
	{"order_timeout", PA_SETTING_DURATION, .standard = "60s", .low = SECOND / 10,
	.high = 3600 * SECOND},
	{"confirm_wait", PA_SETTING_DURATION, .standard = "5s", .low = 0,
	.high = 600 * SECOND},
	{"poll_interval", PA_SETTING_DURATION, .standard = "500ms", .low = SECOND / 100,
	.high = 60 * SECOND},
	{"max_calls", PA_SETTING_NUMBER, .standard = "4", .low = 1, .high = 64},
	{NULL}
};

static void
check(const PaAccount *account, PaReport *report)
{
	const char *uri = pa_account_text(account, "uri");
	size_t		scheme = 0;

	while (isalnum((unsigned char) uri[scheme]) || strchr("+-.", uri[scheme]))
	{
		if (uri[scheme] == '\0')
			break;
		scheme++;
	}
	if (scheme == 0 || uri[scheme] != ':' || strpbrk(uri, " \t") != NULL)
		pa_report_problem(report, pa_account_line(account, "uri"),
						  "invalid uri: valid is one of libvirt's, such as qemu:///system");
}

static bool
submit(PaProvider *provider, PaProviderRequest *request)
{
	pa_libvirt_account_submit(PA_CONTAINER(provider, PaLibvirtAccount, provider),
							  request);
	return false;
}

static void
withdraw(PaProvider *provider, PaProviderRequest *request)
{
	pa_libvirt_account_withdraw(PA_CONTAINER(provider, PaLibvirtAccount,
											 provider), request);
}

static void
close_libvirt(PaProvider *provider)
{
	pa_libvirt_account_close(PA_CONTAINER(provider, PaLibvirtAccount, provider));
}

static PaProvider *
create(const PaAccount *configured, const PaProviderSetup *setup, void *shared,
	   char *problem, size_t size)
{
	PaLibvirtAccount *account = pa_memory_allocate_zeroed(sizeof(*account));

	account->provider.name = "libvirt";
	account->provider.submit = submit;
	account->provider.withdraw = withdraw;
	account->provider.close = close_libvirt;
	account->uri = pa_memory_copy_string(pa_account_text(configured, "uri"));
	account->max_workers = (int) pa_account_number(configured, "max_calls");
	account->order_timeout = pa_account_number(configured, "order_timeout");
	account->confirm_wait = pa_account_number(configured, "confirm_wait");
	account->poll_interval = pa_account_number(configured, "poll_interval");
	account->stop_timeout = pa_account_number(configured, "stop_timeout");
	account->force_stop = pa_account_number(configured, "force_stop") != 0;
	if (pa_libvirt_account_open(account, problem, size))
		return &account->provider;
	return NULL;
}

/*
 * libvirt's own event loop sends and checks the signs of life of
 * connections.  It can be registered once in the life of a process.
 */
typedef struct EventLoop
{
	pthread_t	thread;
	pthread_mutex_t lock;
	bool		ending;
} EventLoop;

/* libvirt would print them on standard error */
static void
keep_quiet(void *data, virErrorPtr error)
{
}

static void
end_turn(int timer, void *data)
{
	virEventRemoveTimeout(timer);
}

static void *
run_events(void *data)
{
	EventLoop  *loop = data;
	bool		ending = false;

	while (!ending)
	{
		virEventRunDefaultImpl();
		pthread_mutex_lock(&loop->lock);
		ending = loop->ending;
		pthread_mutex_unlock(&loop->lock);
	}
	return NULL;
}

static void *
open_shared(void)
{
	static bool registered = false;
	EventLoop  *loop = pa_memory_allocate_zeroed(sizeof(*loop));

	if (!registered && (virInitialize() != 0 || virEventRegisterDefaultImpl() != 0))
	{
		fputs("power_agent: libvirt could not be initialized\n", stderr);
		abort();
	}
	registered = true;
	virSetErrorFunc(NULL, keep_quiet);
	pthread_mutex_init(&loop->lock, NULL);
	if (pthread_create(&loop->thread, NULL, run_events, loop) != 0)
	{
		fputs("power_agent: could not start the thread for libvirt\n", stderr);
		abort();
	}
	return loop;
}

static void
close_shared(void *shared)
{
	EventLoop  *loop = shared;

	pthread_mutex_lock(&loop->lock);
	loop->ending = true;
	pthread_mutex_unlock(&loop->lock);
	/* wakes it */
	virEventAddTimeout(0, end_turn, NULL, NULL);
	pthread_join(loop->thread, NULL);
	pthread_mutex_destroy(&loop->lock);
	free(loop);
}

const PaProviderType pa_provider_type_libvirt = {
	.name = "libvirt",
	.settings = settings,
	.max_parallel = 1000,
	.check = check,
	.open_shared = open_shared,
	.close_shared = close_shared,
	.create = create
};
