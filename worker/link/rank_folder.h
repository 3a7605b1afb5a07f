// Names of the files in a rank's folder, through which a rank outlives its worker
// (proto/ijepa/v1/rank_link.proto), and what worker and rank agree on besides.
#ifndef IJEPA_WORKER_LINK_RANK_FOLDER_H_
#define IJEPA_WORKER_LINK_RANK_FOLDER_H_

#include <signal.h>

namespace ijepa::link {

// Sent to a thread of a rank: it writes its stack into the log.
inline constexpr int kStackSignal = SIGUSR2;

inline constexpr char kLaunchFile[] = "launch.pb";  // v1::RankLaunch, written by the worker.
inline constexpr char kPidFile[] = "pid";           // Written by the worker before the exec.
inline constexpr char kSocketFile[] = "link.sock";  // The rank listens here.
inline constexpr char kLogFile[] = "log.txt";       // Standard output and error of the rank.
inline constexpr char kCgroupFile[] = "cgroup";     // Path of its control group, where it has one.
inline constexpr char kExitFile[] = "exit.pb";      // v1::RankExit.

}  // namespace ijepa::link

#endif  // IJEPA_WORKER_LINK_RANK_FOLDER_H_
