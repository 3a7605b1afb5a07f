// Threads of this process write their own stack when the worker asks for it.
#ifndef IJEPA_WORKER_RANK_STACK_SIGNAL_H_
#define IJEPA_WORKER_RANK_STACK_SIGNAL_H_

namespace ijepa::rank {

// From now on a thread that gets link::kStackSignal writes "stack of thread N" and its frames (at
// most 48) to standard error, one thread at a time, and goes on. Call once, before other threads
// start. Only async-signal-safe calls: what hangs may hold any lock.
void InstallStackSignal();

}  // namespace ijepa::rank

#endif  // IJEPA_WORKER_RANK_STACK_SIGNAL_H_
