/*-------------------------------------------------------------------------
 *
 * src/program/mutexes.cc
 *		What the mutexes of gRPC core do.  Contract in mutexes.h.
 *
 * The only file that is not C: Abseil has no other interface.
 *
 *-------------------------------------------------------------------------
 */
#include "mutexes.h"

#include <absl/synchronization/mutex.h>

void
pa_mutexes_stay_plain(void)
{
	absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
}
