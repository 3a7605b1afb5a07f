// Calls of any method of the API by its descriptor, so that what holds for all is tested for all.
#ifndef IJEPA_TESTS_COORDINATOR_ANY_CALL_H_
#define IJEPA_TESTS_COORDINATOR_ANY_CALL_H_

#include <google/protobuf/message.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "ijepa/v1/auth.grpc.pb.h"
#include "ijepa/v1/coordinator.grpc.pb.h"

namespace ijepa::coordinator {

using Method = google::protobuf::MethodDescriptor;

// Every method that clients may call.
inline std::vector<const Method*> AllMethods() {
  std::vector<const Method*> methods;
  for (const auto* file :
       {v1::CreateJobRequest::descriptor()->file(), v1::CreateTokenRequest::descriptor()->file()}) {
    for (int s = 0; s < file->service_count(); ++s) {
      for (int m = 0; m < file->service(s)->method_count(); ++m) {
        methods.push_back(file->service(s)->method(m));
      }
    }
  }
  return methods;
}

// "JobService/CancelJob".
inline std::string NameOf(const Method& method) {
  return absl::StrCat(method.service()->name(), "/", method.name());
}

inline bool HasField(const Method& method, const std::string& field) {
  return method.input_type()->FindFieldByName(field) != nullptr;
}

// An empty request of the method.
inline std::unique_ptr<google::protobuf::Message> RequestOf(const Method& method) {
  auto* factory = google::protobuf::MessageFactory::generated_factory();
  return std::unique_ptr<google::protobuf::Message>(
      factory->GetPrototype(method.input_type())->New());
}

// Sets a text of the request, where it has that field.
inline void SetText(google::protobuf::Message& request, const std::string& field,
                    const std::string& text) {
  const auto* found = request.GetDescriptor()->FindFieldByName(field);
  const bool is_text = found != nullptr && !found->is_repeated() &&
                       found->type() == google::protobuf::FieldDescriptor::TYPE_STRING;
  if (is_text) request.GetReflection()->SetString(&request, found, text);
}

// With which status it ends; of a stream, one that ends before its first message.
inline grpc::Status CallAny(const std::shared_ptr<grpc::Channel>& channel, const Method& method,
                            const google::protobuf::Message& request,
                            grpc::ClientContext& context) {
  const std::string bytes = request.SerializeAsString();
  const grpc::Slice slice(bytes);
  const grpc::ByteBuffer sent(&slice, 1);
  grpc::ByteBuffer received;
  grpc::GenericStub stub(channel);
  grpc::Status result;
  absl::Notification done;
  stub.UnaryCall(&context, absl::StrCat("/", method.service()->full_name(), "/", method.name()), {},
                 &sent, &received, [&](grpc::Status status) {
                   result = std::move(status);
                   done.Notify();
                 });
  done.WaitForNotification();
  return result;
}

}  // namespace ijepa::coordinator

#endif  // IJEPA_TESTS_COORDINATOR_ANY_CALL_H_
