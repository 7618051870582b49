/* objects: agent/process_loop agent/timer */
/*-------------------------------------------------------------------------
 *
 * test/unit/agent_programs_test.c
 *		Programs are run with what they are given and nothing else, and end
 *		when they have to, with all that they have started.
 *
 *-------------------------------------------------------------------------
 */
#include "agent/process_loop.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "program/clock.h"
#include "program/memory.h"
#include "unit.h"

#define SECOND	INT64_C(1000000)
#define MANY	40

static PaProcessLoop *loop;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t change = PTHREAD_COND_INITIALIZER;

typedef struct Run
{
	PaProcess	process;
	char	   *arguments[4];
	char	   *output;			/* a copy */
	bool		done;
} Run;

static char *environment[] = {"PATH=/usr/bin:/bin", "ONE=1", NULL};

static void
done(PaProcess *process)
{
	Run		   *run = (Run *) process;

	pthread_mutex_lock(&lock);
	run->output = pa_memory_copy_string(process->output ? process->output : "");
	run->done = true;
	pthread_cond_broadcast(&change);
	pthread_mutex_unlock(&lock);
}

static void
begin(Run *run, const char *script)
{
	memset(run, 0, sizeof(*run));
	run->arguments[0] = "/bin/sh";
	run->arguments[1] = "-c";
	run->arguments[2] = (char *) script;
	run->process.arguments = run->arguments;
	run->process.environment = environment;
	run->process.output_limit = 100000;
	run->process.deadline = pa_clock_now() + 60 * SECOND;
	run->process.grace = 60 * SECOND;
	run->process.done = done;
}

static void
wait_for(Run *run)
{
	pthread_mutex_lock(&lock);
	while (!run->done)
		pthread_cond_wait(&change, &lock);
	pthread_mutex_unlock(&lock);
}

static void
finish(Run *run)
{
	pa_process_start(loop, &run->process);
	wait_for(run);
}

/* a script has run, and printed this */
static void
prints(const char *script, const char *expected, const char *name)
{
	Run			run;

	begin(&run, script);
	finish(&run);
	is_string(run.output, expected, name);
	free(run.output);
}

static void
test_surroundings(void)
{
	/* one that a program must not get, though nothing closes it */
	int			leak = dup(STDERR_FILENO);
	Run			run;

	/* tests one by one: what lists them would have one more */
	prints("i=0; while [ $i -lt 200 ]; do [ -e /proc/$$/fd/$i ] && printf '%d ' $i;"
		   " i=$((i + 1)); done", "0 1 2 ", "three descriptors");
	/* PWD and the like are the shell's own */
	prints("tr '\\0' '\\n' </proc/$$/environ", "PATH=/usr/bin:/bin\nONE=1\n",
		   "the variables that it was given");
	prints("pwd", "/\n", "in the directory /");
	/* but for two that are the C library's own */
	prints("sed -n 's/^Sig\\(Blk\\|Ign\\):[^0-9]*//p' /proc/self/status |"
		   " sed 's/18\\(0*\\)$/00\\1/' | sort -u",
		   "0000000000000000\n", "no signal is blocked or ignored");
	prints("read -r a b c d e f g </proc/$$/stat; "
		   "[ $e = $$ ] && [ $f = $$ ] && [ ${g%% *} = 0 ] && echo yes",
		   "yes\n", "in a session of its own, without a terminal");
	close(leak);

	begin(&run, "exit 7");
	run.arguments[0] = "/nowhere/sh";
	finish(&run);
	is_number(run.process.end, PA_PROCESS_NOT_STARTED, "a program that is not there");
	is_number(run.process.code, ENOENT, "says why");
	free(run.output);
	begin(&run, "exit 7");
	finish(&run);
	is_number(run.process.end, PA_PROCESS_EXITED, "one that fails");
	is_number(run.process.code, 7, "with its exit status");
	free(run.output);
	begin(&run, "kill -9 $$");
	finish(&run);
	is_number(run.process.end, PA_PROCESS_SIGNALLED, "one that is killed");
	is_number(run.process.code, 9, "with the signal");
	free(run.output);
}

static void
test_pipes(void)
{
	char	   *input = malloc(300001);
	Run			run;

	memset(input, 'i', 300000);
	begin(&run, "wc -c");
	run.process.input = input;
	run.process.input_length = 300000;
	finish(&run);
	is_number(atoi(run.output), 300000, "more input than a pipe holds");
	free(run.output);
	begin(&run, "exec <&-; echo read nothing");
	run.process.input = input;
	run.process.input_length = 300000;
	finish(&run);
	is_string(run.output, "read nothing\n", "a program that reads nothing");
	free(run.output);
	begin(&run, "cat");
	run.process.output_limit = 300000;
	run.process.input = input;
	run.process.input_length = 300000;
	finish(&run);
	is_number(run.process.output_length, 300000, "both ways at once");
	is_number(run.process.end, PA_PROCESS_EXITED, "up to the limit");
	free(run.output);
	begin(&run, "cat; sleep 60");
	run.process.output_limit = 299999;
	run.process.input = input;
	run.process.input_length = 300000;
	finish(&run);
	is_number(run.process.end, PA_PROCESS_TALKATIVE, "and not beyond it");
	free(run.output);
	free(input);

	/* one write, which is more than what is read at a time */
	begin(&run, "for to in 1 2; do seq 5000 |"
		  " dd bs=16884 count=1 iflag=fullblock status=none >&$to; done");
	finish(&run);
	ok(run.process.errors_length == PA_PROCESS_ERRORS &&
	   memcmp(run.process.errors, run.output + run.process.output_length -
			  PA_PROCESS_ERRORS, PA_PROCESS_ERRORS) == 0,
	   "the end of what it complains about");
	free(run.output);
	begin(&run, "sleep 60 & echo done");
	finish(&run);
	is_string(run.output, "done\n", "who holds the pipe open is not waited for");
	free(run.output);
}

/* a program and its child; the child's number is what it prints first */
static pid_t
child_of(const Run *run)
{
	return (pid_t) atoi(run->output);
}

/* gone, or as good as: it may be a zombie until init looks */
static bool
is_gone(pid_t pid)
{
	char		path[64];
	char		text[512] = "";
	FILE	   *file;
	const char *state;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int) pid);
	file = fopen(path, "r");
	if (file == NULL)
		return true;
	state = fgets(text, sizeof(text), file) ? strrchr(text, ')') : NULL;
	fclose(file);
	return state == NULL || state[2] == 'Z' || state[2] == 'X';
}

static void
wait_until_gone(pid_t pid, const char *name)
{
	/* far longer than it can take: the child sleeps for longer still */
	for (int i = 0; i < 3000 && !is_gone(pid); i++)
		usleep(10000);
	ok(pid > 0 && is_gone(pid), "%s", name);
}

static void
test_ends(void)
{
	Run			run;

	begin(&run, "sleep 600 & echo $!; wait");
	run.process.deadline = pa_clock_now() + SECOND / 5;
	finish(&run);
	is_number(run.process.end, PA_PROCESS_TIMED_OUT, "a program that takes too long");
	wait_until_gone(child_of(&run), "ends with its child");
	free(run.output);

	begin(&run, "trap 'echo asked; exit 0' TERM; sleep 600 & wait");
	run.process.deadline = pa_clock_now() + SECOND / 5;
	finish(&run);
	is_string(run.output, "asked\n", "it is asked first");
	is_number(run.process.end, PA_PROCESS_TIMED_OUT, "and has taken too long all the same");
	free(run.output);

	begin(&run, "trap '' TERM; (trap '' TERM; sleep 600) & echo $!; wait; sleep 600");
	run.process.deadline = pa_clock_now() + SECOND / 5;
	run.process.grace = SECOND / 5;
	finish(&run);
	is_number(run.process.end, PA_PROCESS_TIMED_OUT, "one that does not listen is killed");
	wait_until_gone(child_of(&run), "its child as well");
	free(run.output);

	begin(&run, "sleep 600 >/dev/null 2>&1 & echo $!");
	finish(&run);
	is_number(run.process.end, PA_PROCESS_EXITED, "one that ends by itself");
	wait_until_gone(child_of(&run), "leaves no child behind");
	free(run.output);
}

static void
test_withdrawals(void)
{
	Run			run;
	Run			blocking;
	char		directory[] = "/tmp/agent_programs_test.XXXXXX";
	char		script[200];

	if (!ok(mkdtemp(directory) != NULL, "a directory"))
		return;
	snprintf(script, sizeof(script), "touch %s/ran", directory);
	begin(&run, script);
	atomic_store(&run.process.withdrawn, true);
	finish(&run);
	is_number(run.process.end, PA_PROCESS_WITHDRAWN, "withdrawn before it was taken up");
	free(run.output);
	is_number(rmdir(directory), 0, "a program that was never started");
	snprintf(script, sizeof(script), "until [ -e %s ]; do sleep 0.01; done; echo its end",
			 directory);

	/* the loop is in the end of one program when another is given to it */
	begin(&blocking, "echo");
	begin(&run, "echo");
	pthread_mutex_lock(&lock);
	pa_process_start(loop, &blocking.process);
	pa_process_start(loop, &run.process);
	pa_process_withdraw(loop, &run.process);
	pthread_mutex_unlock(&lock);
	wait_for(&blocking);
	wait_for(&run);
	ok(run.process.end == PA_PROCESS_WITHDRAWN || strcmp(run.output, "\n") == 0,
	   "in time or too late");
	free(run.output);
	free(blocking.output);

	/* each program that is done tells that the loop has looked round */
	begin(&run, script);
	pa_process_start(loop, &run.process);
	prints("echo", "\n", "it runs");
	pa_process_withdraw(loop, &run.process);
	prints("echo", "\n", "it is withdrawn");
	if (mkdir(directory, 0700) != 0)
		ok(false, "no directory");
	wait_for(&run);
	rmdir(directory);
	is_string(run.output, "its end\n", "one that runs goes on to its end");
	is_number(run.process.end, PA_PROCESS_EXITED, "and is not ended");
	free(run.output);

	begin(&run, "sleep 600 & echo $!; wait");
	run.process.interruptible = true;
	pa_process_start(loop, &run.process);
	prints("echo", "\n", "one more runs");
	pa_process_withdraw(loop, &run.process);
	wait_for(&run);
	is_number(run.process.end, PA_PROCESS_WITHDRAWN, "unless it may be interrupted");
	free(run.output);
}

static void
test_withdrawal_races(void)
{
	static Run	runs[MANY];
	int			good = 0;

	for (int i = 0; i < MANY; i++)
	{
		begin(&runs[i], "echo");
		runs[i].process.interruptible = i % 2 == 0;
		pa_process_start(loop, &runs[i].process);
		if (i % 3 == 0)
			pa_process_withdraw(loop, &runs[i].process);
		if (i % 5 == 0)
			pa_process_withdraw(loop, &runs[i / 2].process);
	}
	for (int i = 0; i < MANY; i++)
	{
		wait_for(&runs[i]);
		pa_process_withdraw(loop, &runs[i].process);
		good += runs[i].process.end == PA_PROCESS_WITHDRAWN ||
			strcmp(runs[i].output, "\n") == 0;
		free(runs[i].output);
	}
	is_number(good, MANY, "each is done once, one way or the other");
}

static void
test_many(void)
{
	static Run	runs[MANY];
	static char scripts[MANY][200];
	char		directory[] = "/tmp/agent_programs_test.XXXXXX";
	char		path[100];
	int			good = 0;

	if (!ok(mkdtemp(directory) != NULL, "a directory"))
		return;
	for (int i = 0; i < MANY; i++)
	{
		/* it waits until all of them have been there together */
		snprintf(scripts[i], sizeof(scripts[i]),
				 "touch %s/%d; until [ -e %s/%d ]; do sleep 0.01; done",
				 directory, i, directory, MANY - 1 - i);
		begin(&runs[i], scripts[i]);
		pa_process_start(loop, &runs[i].process);
	}
	for (int i = 0; i < MANY; i++)
	{
		wait_for(&runs[i]);
		good += runs[i].process.end == PA_PROCESS_EXITED &&
			runs[i].process.code == 0;
		free(runs[i].output);
	}
	is_number(good, MANY, "many at once");
	for (int i = 0; i < MANY; i++)
	{
		snprintf(path, sizeof(path), "%s/%d", directory, i);
		unlink(path);
	}
	rmdir(directory);
}

static void
test_close(void)
{
	static Run	run;
	char		path[] = "/tmp/agent_programs_test.XXXXXX";
	char		script[100];
	char		text[32] = "";
	int			file = mkstemp(path);

	snprintf(script, sizeof(script), "sleep 600 & echo $! >%s; wait", path);
	begin(&run, script);
	pa_process_start(loop, &run.process);
	for (int i = 0; i < 3000 && strchr(text, '\n') == NULL; i++)
	{
		usleep(10000);
		if (pread(file, text, sizeof(text) - 1, 0) < 0)
			break;
	}
	close(file);
	unlink(path);
	pa_process_loop_free(loop);
	ok(!run.done, "what runs at the end is not answered");
	wait_until_gone(atoi(text), "but ended");
}

int
main(void)
{
	char		problem[256];
	sigset_t	blocked;

	/* as in the agent, whose threads block what one of them waits for */
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &blocked, NULL);
	signal(SIGPIPE, SIG_IGN);
	loop = pa_process_loop_create(problem, sizeof(problem));
	if (!ok(loop != NULL, "a thread"))
		return unit_done();
	test_surroundings();
	test_pipes();
	test_ends();
	test_withdrawals();
	test_withdrawal_races();
	test_many();
	test_close();
	return unit_done();
}
