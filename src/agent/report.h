/*-------------------------------------------------------------------------
 *
 * src/agent/report.h
 *		Where problems of a configuration file go, one text each.
 *
 * A file has as many problems as it has: all of them are told, each as
 * "FILE:LINE: what is wrong".
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_REPORT_H
#define PA_AGENT_REPORT_H

typedef struct PaReport
{
	void		(*tell) (struct PaReport *report, const char *text);
	const char *file;			/* as the texts name it */
	int			problems;		/* told so far */
} PaReport;

/* line 0: it is about the file as a whole */
extern void pa_report_problem(PaReport *report, int line,
							  const char *format,...)
			__attribute__((format(printf, 3, 4)));

/* prints them on standard error, behind the program's name */
extern void pa_report_to_stderr(PaReport *report, const char *file);

#endif							/* PA_AGENT_REPORT_H */
