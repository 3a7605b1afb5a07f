// What unary calls of clients have in common: who calls is asked, reads go to the state, changes to
// the core, with a line in the audit log.
#ifndef IJEPA_COORDINATOR_SERVICES_CLIENT_CALLS_H_
#define IJEPA_COORDINATOR_SERVICES_CLIENT_CALLS_H_

#include <grpcpp/grpcpp.h>

#include <functional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "coordinator/services/gate.h"
#include "coordinator/services/state_calls.h"
#include "coordinator/state_thread.h"

namespace ijepa::coordinator {

// One unary call: its context, its name for roles and the audit log ("JobService/CancelJob"), and
// the project of what it is about, where it is about something in a project.
struct UnaryCall {
  grpc::CallbackServerContext& context;
  const char* method;
  std::string project = kAllProjects;
};

// Thread-safe. What it is given outlives it.
class ClientCalls {
 public:
  ClientCalls(StateThread& state, Gate& gate) : state_(state), gate_(gate) {}

  // Runs `work` with the reactor of the call and the caller, unless the caller is refused.
  template <typename Work>
  grpc::ServerUnaryReactor* Run(const UnaryCall& call, const Work& work) {
    grpc::ServerUnaryReactor* reactor = call.context.DefaultReactor();
    Caller caller;
    if (gate_.Admit(call.context, {call.method, call.project}, reactor, caller))
      work(reactor, caller);
    return reactor;
  }

  // Gives `command` to the core and finishes the call with the job, once that is durable.
  // `resource`: what it is about.
  template <typename Command>
  grpc::ServerUnaryReactor* Change(const UnaryCall& call, const std::string& resource,
                                   Command command, v1::Job* response) {
    return Run(call, [&](grpc::ServerUnaryReactor* reactor, const Caller& caller) {
      state_.Call(std::move(command), FinishWith(reactor, response),
                  LineOf(call.method, resource, caller));
    });
  }

  static AuditLine LineOf(const char* method, const std::string& resource, const Caller& caller) {
    return {caller.user, method, resource, caller.peer};
  }

  StateThread& state() { return state_; }
  Gate& gate() { return gate_; }

 private:
  StateThread& state_;
  Gate& gate_;
};

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_SERVICES_CLIENT_CALLS_H_
