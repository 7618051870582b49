/*-------------------------------------------------------------------------
 *
 * src/wait.h
 *		Waiting for an event to be final.
 *
 * Called in client backends.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_WAIT_H
#define PA_WAIT_H

/* SQLSTATEs of the procedures that wait, part of the contract. */
#define PA_ERRCODE_FAILED		MAKE_SQLSTATE('P', 'A', '0', '0', '1')
#define PA_ERRCODE_UNKNOWN		MAKE_SQLSTATE('P', 'A', '0', '0', '2')
#define PA_ERRCODE_CANCELLED	MAKE_SQLSTATE('P', 'A', '0', '0', '3')
#define PA_ERRCODE_TIMED_OUT	MAKE_SQLSTATE('P', 'A', '0', '0', '4')

#endif							/* PA_WAIT_H */
