/*-------------------------------------------------------------------------
 *
 * src/agent/process_loop.h
 *		A thread that runs programs, any number at once.
 *
 * A program gets no shell, no descriptor but its standard ones, no variable
 * but those of the caller, and a session of its own: it has no terminal to
 * ask anybody at, and all that it starts can be ended with it.
 *
 * SIGPIPE must be ignored in this process.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_PROCESS_LOOP_H
#define PA_AGENT_PROCESS_LOOP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "timer.h"

#define PA_PROCESS_ERRORS	1024	/* bytes of standard error that are kept */

typedef struct PaProcessLoop PaProcessLoop;

typedef enum PaProcessEnd
{
	PA_PROCESS_EXITED,			/* code: its exit status */
	PA_PROCESS_SIGNALLED,		/* code: the signal that ended it */
	PA_PROCESS_TIMED_OUT,
	PA_PROCESS_TALKATIVE,		/* its output was beyond the limit */
	PA_PROCESS_WITHDRAWN,		/* before it began; or it was ended for that */
	PA_PROCESS_NOT_STARTED		/* code: an errno */
} PaProcessEnd;

typedef struct PaProcess
{
	/* from the caller, who owns and has zeroed it; unchanged until done */
	char	  **arguments;		/* the program's path first, NULL last */
	char	  **environment;	/* NULL last */
	const char *input;			/* for its standard input */
	size_t		input_length;
	size_t		output_limit;	/* bytes */
	int64_t		deadline;		/* us of pa_clock_now */
	int64_t		grace;			/* us from SIGTERM to SIGKILL */
	bool		interruptible;	/* ended when it is withdrawn */

	/* in the loop's thread */
	void		(*done) (struct PaProcess *process);

	/* when it is done */
	PaProcessEnd end;
	int			code;
	char	   *output;			/* ends with a NUL; the loop's: valid in done */
	size_t		output_length;
	char		errors[PA_PROCESS_ERRORS];	/* the last bytes, as they are */
	size_t		errors_length;

	/* the loop's own */
	PaProcessLoop *loop;
	atomic_bool withdrawn;
	pid_t		pid;
	int			pidfd;
	int			pipes[3];		/* ours of its standard ones; -1: closed */
	size_t		written;
	size_t		capacity;
	PaTimer		timer;
	struct PaProcess *previous;
	struct PaProcess *next;
} PaProcess;

/* NULL, with the reason, if that fails */
extern PaProcessLoop *pa_process_loop_create(char *problem, size_t size);

/* from any thread */
extern void pa_process_start(PaProcessLoop *loop, PaProcess *process);

/*
 * From any thread, for one that was given to the loop: it is not started any
 * more; one that runs goes on, unless it is interruptible.  "done" is called
 * in any case, and may have been: the process must still be there until this
 * returns.
 */
extern void pa_process_withdraw(PaProcessLoop *loop, PaProcess *process);

/*
 * Ends what runs, by SIGTERM and after the grace by SIGKILL, and the thread.
 * "done" is not called any more.
 */
extern void pa_process_loop_free(PaProcessLoop *loop);

#endif							/* PA_AGENT_PROCESS_LOOP_H */
