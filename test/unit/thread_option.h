/*-------------------------------------------------------------------------
 *
 * test/unit/thread_option.h
 *		What ThreadSanitizer must know of gRPC.
 *
 * Core comes without its marks, and the locks of abseil, made of futexes, are
 * invisible to it: there would be races everywhere in what these libraries do
 * with memcpy or recvmsg.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_THREAD_OPTION_H
#define PA_THREAD_OPTION_H

#include <stdio.h>
#include <stdlib.h>

#ifdef __SANITIZE_THREAD__
#define THREAD_OPTION	"ignore_noninstrumented_modules=1"

/* for this process */
const char *__tsan_default_options(void);

const char *
__tsan_default_options(void)
{
	return THREAD_OPTION;
}
#endif

/* for the programs that it starts, by their environment */
static void
hand_on_thread_option(void)
{
#ifdef __SANITIZE_THREAD__
	const char *options = getenv("TSAN_OPTIONS");
	char		all[2048];

	snprintf(all, sizeof(all), "%s:" THREAD_OPTION, options ? options : "");
	setenv("TSAN_OPTIONS", all, 1);
#endif
}

#endif							/* PA_THREAD_OPTION_H */
