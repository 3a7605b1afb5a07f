// Who may do what: tokens, roles, the audit log, and TLS with real certificates.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "any_call.h"
#include "common/file.h"
#include "common/token_file.h"
#include "coordinator/services/gate.h"
#include "fake_worker.h"
#include "ijepa/v1/auth.grpc.pb.h"
#include "services_fixture.h"

namespace ijepa::coordinator {
namespace {

using ::testing::HasSubstr;

TEST(GateTest, EveryMethodHasARole) {
  for (const Method* method : AllMethods()) {
    EXPECT_TRUE(HasRoleFor(NameOf(*method))) << NameOf(*method);
  }
  EXPECT_EQ(RoleFor("JobService/Unheard"), v1::ROLE_ADMIN) << "what is unknown is closed";
}

TEST(GateTest, AUserPastTheRateIsToldWhenToTryAgain) {
  Gate::Options options;
  options.calls_per_second = 1;
  options.burst = 2;
  ShiftedClock clock;
  Gate gate(options, clock);
  EXPECT_TRUE(gate.Spend("ann").ok());
  EXPECT_TRUE(gate.Spend("ann").ok());
  const absl::Status past = gate.Spend("ann");
  EXPECT_EQ(past.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(past.GetPayload("type.googleapis.com/google.rpc.RetryInfo").has_value());
  EXPECT_TRUE(gate.Spend("bob").ok()) << "each has a rate of its own";
}

TEST(GateTest, WhatAUserDoesNotUseIsEarnedBackUpToTheBurst) {
  Gate::Options options;
  options.calls_per_second = 0.01;
  options.burst = 2;
  ShiftedClock clock;
  Gate gate(options, clock);
  const auto calls_let_through = [&] {
    int calls = 0;
    while (calls < 1000 && gate.Spend("ann").ok()) ++calls;
    return calls;
  };
  EXPECT_EQ(calls_let_through(), 2);
  clock.shift_monotonic_seconds = 101;
  EXPECT_EQ(calls_let_through(), 1);
  clock.shift_monotonic_seconds = 100000;
  EXPECT_EQ(calls_let_through(), 2);
}

class AuthTest : public ServicesTest {
 protected:
  void SetUp() override {
    ask_for_token = true;
    StartServer();
    Connect();
  }

  void Connect() {
    secret = *ReadTokenFile(TokenFileFor(server->client_address()));
    auth = v1::AuthService::NewStub(channel);
  }

  // A context of one who shows `token`.
  std::unique_ptr<grpc::ClientContext> As(const std::string& token) {
    auto context = std::make_unique<grpc::ClientContext>();
    SetDeadline(*context);
    if (!token.empty()) context->AddMetadata("authorization", "Bearer " + token);
    return context;
  }

  v1::CreateTokenResponse NewToken(v1::Role role, v1::Role scope = v1::ROLE_UNSPECIFIED,
                                   int64_t lifetime = 0, const std::string& project = "default") {
    v1::CreateTokenRequest request;
    request.set_user("ann");
    v1::Grant& grant = *request.add_grants();
    grant.set_project(project);
    grant.set_role(role);
    request.set_scope(scope);
    request.set_lifetime_seconds(lifetime);
    v1::CreateTokenResponse response;
    const grpc::Status status = auth->CreateToken(As(secret).get(), request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }

  grpc::StatusCode List(const std::string& token, const std::string& project = "",
                        v1::ListJobsResponse* list = nullptr) {
    v1::ListJobsRequest request;
    request.set_project(project);
    v1::ListJobsResponse response;
    return jobs->ListJobs(As(token).get(), request, list == nullptr ? &response : list)
        .error_code();
  }

  grpc::StatusCode GetAs(const std::string& token, const std::string& name) {
    v1::GetJobRequest request;
    request.set_name(name);
    v1::Job job;
    return jobs->GetJob(As(token).get(), request, &job).error_code();
  }

  void Revoke(const std::string& name) {
    v1::RevokeTokenRequest revoke;
    revoke.set_name(name);
    v1::RevokeTokenResponse done;
    ASSERT_TRUE(auth->RevokeToken(As(secret).get(), revoke, &done).ok());
  }

  // Of all kinds of streams one each, once they have begun: what they end with after `change`.
  template <typename Change>
  std::vector<grpc::StatusCode> EndsOfStreams(const std::string& token, const std::string& job,
                                              const Change& change) {
    v1::WatchJobRequest one;
    one.set_name(job);
    v1::ReadLogsRequest log;
    log.set_job(job);
    log.set_follow(true);
    const auto contexts = {As(token), As(token), As(token)};
    auto context = contexts.begin();
    auto of_one = jobs->WatchJob((context++)->get(), one);
    auto of_list = jobs->WatchJobs((context++)->get(), {});
    auto logs = v1::LogService::NewStub(channel);
    auto of_log = logs->ReadLogs(context->get(), log);
    v1::Job seen;
    EXPECT_TRUE(of_one->Read(&seen));
    v1::WatchJobsResponse list;
    EXPECT_TRUE(of_list->Read(&list));
    change();
    while (of_one->Read(&seen)) {
    }
    while (of_list->Read(&list)) {
    }
    v1::LogLines lines;
    while (of_log->Read(&lines)) {
    }
    return {of_one->Finish().error_code(), of_list->Finish().error_code(),
            of_log->Finish().error_code()};
  }

  grpc::StatusCode SubmitAs(const std::string& token, v1::Job* job = nullptr,
                            const std::string& project = "") {
    v1::CreateJobRequest request = RequestFor("job", 1);
    request.set_project(project);
    request.set_queue_anyway(true);
    v1::Job made;
    return jobs->CreateJob(As(token).get(), request, job == nullptr ? &made : job).error_code();
  }

  std::string secret;
  std::unique_ptr<v1::AuthService::Stub> auth;
};

TEST_F(AuthTest, NobodyComesInWithoutAToken) {
  EXPECT_EQ(List(""), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(List("wrong"), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(List(secret), grpc::StatusCode::OK);
  v1::WatchJobRequest watch;
  auto context = As("");
  auto reader = jobs->WatchJob(context.get(), watch);
  v1::Job job;
  EXPECT_FALSE(reader->Read(&job));
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::UNAUTHENTICATED);
}

TEST_F(AuthTest, EveryMethodAsksForAToken) {
  for (const Method* method : AllMethods()) {
    const bool is_open = NameOf(*method) == "SystemService/GetServerInfo";
    const grpc::Status status = CallAny(channel, *method, *RequestOf(*method), *As(""));
    EXPECT_EQ(status.error_code(),
              is_open ? grpc::StatusCode::OK : grpc::StatusCode::UNAUTHENTICATED)
        << NameOf(*method) << ": " << status.error_message();
  }
}

// About things of the project vision; or, of methods about the cluster, about nothing.
std::unique_ptr<google::protobuf::Message> RequestAboutVision(const Method& method) {
  auto request = RequestOf(method);
  const std::string job = "projects/vision/jobs/a";
  const std::string& service = method.service()->name();
  SetText(*request, "project", "vision");
  SetText(*request, "parent", job);
  SetText(*request, "job", job);
  SetText(*request, "name",
          service == "ArrayService"        ? "projects/vision/arrays/a"
          : service == "CheckpointService" ? job + "/checkpoints/5"
                                           : job);
  return request;
}

TEST_F(AuthTest, EveryMethodOfAProjectIsClosedToThoseOfOthers) {
  const std::set<std::string> of_projects = {"ArrayService", "CheckpointService", "JobService",
                                             "LogService"};
  for (const char* project : {"audio", "default"}) {
    const std::string admin = NewToken(v1::ROLE_ADMIN, v1::ROLE_UNSPECIFIED, 0, project).secret();
    for (const Method* method : AllMethods()) {
      const bool shows_the_cluster = of_projects.count(method->service()->name()) == 0 &&
                                     RoleFor(NameOf(*method)) == v1::ROLE_VIEWER;
      if (shows_the_cluster) continue;
      const grpc::Status status =
          CallAny(channel, *method, *RequestAboutVision(*method), *As(admin));
      EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED)
          << NameOf(*method) << ": " << status.error_message();
    }
  }
}

TEST_F(AuthTest, CallsPastTheRateAreRefusedToTheOneWhoMakesThem) {
  calls_per_second = 1e-6;
  calls_at_once = 4;
  StartServer();
  Connect();
  const std::string ann = NewToken(v1::ROLE_VIEWER).secret();
  for (int call = 2; call <= calls_at_once; ++call) {
    EXPECT_EQ(List(secret), grpc::StatusCode::OK);
  }
  EXPECT_EQ(List(secret), grpc::StatusCode::RESOURCE_EXHAUSTED);
  const auto context = As(secret);
  const auto watch = jobs->WatchJobs(context.get(), {});
  v1::WatchJobsResponse list;
  EXPECT_FALSE(watch->Read(&list));
  EXPECT_EQ(watch->Finish().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(List(ann), grpc::StatusCode::OK);
}

TEST_F(AuthTest, TheLocalTokenIsForItsOwnerAloneAndLastsOverARestart) {
  const std::string path = TokenFileFor(server->client_address());
  struct stat info;
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600);
  const std::string before = secret;
  StartServer();
  Connect();
  EXPECT_EQ(secret, before);
  EXPECT_EQ(List(secret), grpc::StatusCode::OK);
  server.reset();
  EXPECT_FALSE(std::filesystem::exists(path)) << "a coordinator that stops takes its token along";
}

TEST_F(AuthTest, RolesAndScopesLimitWhatATokenMayDo) {
  const std::string viewer = NewToken(v1::ROLE_VIEWER).secret();
  EXPECT_EQ(List(viewer), grpc::StatusCode::OK);
  EXPECT_EQ(SubmitAs(viewer), grpc::StatusCode::PERMISSION_DENIED);
  const std::string user = NewToken(v1::ROLE_USER).secret();
  v1::Job job;
  EXPECT_EQ(SubmitAs(user, &job), grpc::StatusCode::OK);
  EXPECT_EQ(job.user(), "ann");
  v1::ListTokensResponse tokens;
  EXPECT_EQ(auth->ListTokens(As(user).get(), {}, &tokens).error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(SubmitAs(NewToken(v1::ROLE_ADMIN, v1::ROLE_VIEWER).secret()),
            grpc::StatusCode::PERMISSION_DENIED);
  v1::Token me;
  ASSERT_TRUE(auth->WhoAmI(As(viewer).get(), {}, &me).ok());
  EXPECT_EQ(me.user(), "ann");
}

TEST_F(AuthTest, ARevokedTokenAndAnExpiredOneAreClosed) {
  const v1::CreateTokenResponse made = NewToken(v1::ROLE_USER);
  const std::string brief = NewToken(v1::ROLE_USER, v1::ROLE_UNSPECIFIED, 60).secret();
  StartServer();
  Connect();
  EXPECT_EQ(List(made.secret()), grpc::StatusCode::OK) << "tokens outlive the coordinator";
  Revoke(made.token().name());
  EXPECT_EQ(List(made.secret()), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(List(brief), grpc::StatusCode::OK);
  clock.shift_seconds = 61;
  EXPECT_EQ(List(brief), grpc::StatusCode::UNAUTHENTICATED);
}

TEST_F(AuthTest, StreamsEndWithTheTokenThatOpenedThem) {
  v1::Job job;
  ASSERT_EQ(SubmitAs(secret, &job), grpc::StatusCode::OK);
  const v1::CreateTokenResponse made = NewToken(v1::ROLE_VIEWER);
  const auto closed = ::testing::Each(grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_THAT(EndsOfStreams(made.secret(), job.name(), [&] { Revoke(made.token().name()); }),
              closed);
  const std::string brief = NewToken(v1::ROLE_VIEWER, v1::ROLE_UNSPECIFIED, 60).secret();
  EXPECT_THAT(EndsOfStreams(brief, job.name(), [&] { clock.shift_seconds = 61; }), closed);
}

TEST_F(AuthTest, RolesHoldInTheirProjectAlone) {
  const auto of = [&](v1::Role role, const std::string& project) {
    return NewToken(role, v1::ROLE_UNSPECIFIED, 0, project).secret();
  };
  const std::string user = of(v1::ROLE_USER, "vision");
  const std::string stranger = of(v1::ROLE_USER, "audio");
  v1::Job job;
  ASSERT_EQ(SubmitAs(user, &job, "vision"), grpc::StatusCode::OK);
  EXPECT_THAT(job.name(), ::testing::StartsWith("projects/vision/jobs/job-"));
  EXPECT_EQ(SubmitAs(user), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(GetAs(user, job.name()), grpc::StatusCode::OK);
  EXPECT_EQ(GetAs(stranger, job.name()), grpc::StatusCode::PERMISSION_DENIED);
  // Neither by its id alone, nor as if it were of a project of one's own.
  const std::string id = JobId(job.name());
  EXPECT_EQ(GetAs(stranger, id), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(GetAs(stranger, JobName("audio", id)), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(GetAs(secret, id), grpc::StatusCode::NOT_FOUND);
  v1::CancelJobRequest cancel;
  cancel.set_name(JobName("audio", id));
  v1::Job none;
  EXPECT_EQ(jobs->CancelJob(As(stranger).get(), cancel, &none).error_code(),
            grpc::StatusCode::NOT_FOUND);
  v1::ListJobsResponse list;
  EXPECT_EQ(List(user, "vision", &list), grpc::StatusCode::OK);
  EXPECT_EQ(list.jobs_size(), 1);
  EXPECT_EQ(List(user, "*"), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(List(of(v1::ROLE_VIEWER, "*"), "*", &list), grpc::StatusCode::OK);
  EXPECT_EQ(list.jobs_size(), 1);
  EXPECT_EQ(List(secret, "", &list), grpc::StatusCode::OK);
  EXPECT_EQ(list.jobs_size(), 0) << "the default project has none";
}

TEST_F(AuthTest, TheClusterIsChangedByAdminsOfEveryProjectAlone) {
  const auto list_tokens = [&](const std::string& project) {
    v1::ListTokensResponse tokens;
    const std::string admin = NewToken(v1::ROLE_ADMIN, v1::ROLE_UNSPECIFIED, 0, project).secret();
    return auth->ListTokens(As(admin).get(), {}, &tokens).error_code();
  };
  EXPECT_EQ(list_tokens("vision"), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(list_tokens("default"), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(list_tokens("*"), grpc::StatusCode::OK);
}

TEST_F(AuthTest, SecretsAreNotInTheStore) {
  const std::string made = NewToken(v1::ROLE_USER).secret();
  for (const char* file : {"/coordinator.db", "/coordinator.db-wal"}) {
    const auto bytes = ReadFile(folder.path() + file);
    if (!bytes.ok()) continue;
    EXPECT_FALSE(absl::StrContains(*bytes, made)) << file;
    EXPECT_FALSE(absl::StrContains(*bytes, secret)) << file;
  }
}

TEST_F(AuthTest, EveryChangeIsInTheAuditLog) {
  const std::string user = NewToken(v1::ROLE_USER).secret();
  v1::Job job;
  ASSERT_EQ(SubmitAs(user, &job), grpc::StatusCode::OK);
  v1::CancelJobRequest cancel;
  cancel.set_name("nobody");
  v1::Job none;
  EXPECT_EQ(jobs->CancelJob(As(user).get(), cancel, &none).error_code(),
            grpc::StatusCode::NOT_FOUND);
  ASSERT_EQ(List(user), grpc::StatusCode::OK);
  v1::ListAuditEventsResponse audit;
  ASSERT_TRUE(auth->ListAuditEvents(As(secret).get(), {}, &audit).ok());
  ASSERT_EQ(audit.events_size(), 3) << "reads are not in it";
  EXPECT_EQ(audit.events(0).method(), "JobService/CancelJob");
  EXPECT_EQ(audit.events(0).code(), "NOT_FOUND");
  EXPECT_EQ(audit.events(0).resource(), "nobody");
  EXPECT_EQ(audit.events(1).user(), "ann");
  EXPECT_EQ(audit.events(1).resource(), job.name());
  EXPECT_EQ(audit.events(1).code(), "OK");
  EXPECT_EQ(audit.events(2).user(), "local");
  EXPECT_EQ(audit.events(2).method(), "AuthService/CreateToken");
}

TEST_F(AuthTest, TheAuditLogComesInPagesAndByUser) {
  const std::string user = NewToken(v1::ROLE_USER).secret();
  for (int i = 0; i < 2; ++i) ASSERT_EQ(SubmitAs(user), grpc::StatusCode::OK);
  ASSERT_EQ(SubmitAs(secret), grpc::StatusCode::OK);
  v1::ListAuditEventsRequest request;
  request.set_page_size(1);
  std::vector<std::string> users;
  do {
    v1::ListAuditEventsResponse page;
    ASSERT_TRUE(auth->ListAuditEvents(As(secret).get(), request, &page).ok());
    ASSERT_EQ(page.events_size(), 1);
    users.push_back(page.events(0).user());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  EXPECT_EQ(users, (std::vector<std::string>{"local", "ann", "ann", "local"}));
  request.set_user("ann");
  request.set_page_size(0);
  v1::ListAuditEventsResponse page;
  ASSERT_TRUE(auth->ListAuditEvents(As(secret).get(), request, &page).ok());
  EXPECT_EQ(page.events_size(), 2);
  EXPECT_EQ(page.events(0).user(), "ann");
  request.set_page_token("damaged");
  EXPECT_EQ(auth->ListAuditEvents(As(secret).get(), request, &page).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(AuthTest, RefusesTokensThatNobodyCouldUse) {
  v1::CreateTokenRequest request;
  request.set_user("Not A User");
  v1::CreateTokenResponse response;
  grpc::Status status = auth->CreateToken(As(secret).get(), request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  request.set_user("ann");
  status = auth->CreateToken(As(secret).get(), request, &response);
  EXPECT_THAT(status.error_message(), HasSubstr("grants has 0 entries"));
}

TEST(TokenFileTest, AFileThatOthersCanReadIsRefused) {
  TemporaryFolder folder;
  const std::string path = folder.path() + "/token";
  ASSERT_TRUE(WriteToken(path, "secret").ok());
  EXPECT_EQ(*ReadTokenFile(path), "secret");
  ASSERT_EQ(chmod(path.c_str(), 0644), 0);
  EXPECT_EQ(ReadTokenFile(path).status().code(), absl::StatusCode::kPermissionDenied);
}

// With certificates as deploy/local.sh makes them.
class TlsTest : public ServicesTest {
 protected:
  void SetUp() override {
    const std::string make = absl::StrCat("IJEPA_LOCAL=", folder.path(),
                                          " deploy/local.sh certs node-a node-b 2> /dev/null");
    ASSERT_EQ(std::system(make.c_str()), 0);
    StartServer();
  }

  Settings MakeSettings() override {
    Settings settings = ServicesTest::MakeSettings();
    settings.tls_certificate = File("coordinator.pem");
    settings.tls_key = File("coordinator.key");
    settings.tls_authority = File("authority.pem");
    return settings;
  }

  std::string File(const std::string& name) { return absl::StrCat(folder.path(), "/certs/", name); }

  // Of one who trusts the authority and, with a name, shows that one's certificate.
  std::shared_ptr<grpc::ChannelCredentials> Credentials(const std::string& name) {
    grpc::SslCredentialsOptions options;
    options.pem_root_certs = *ReadFile(File("authority.pem"));
    if (!name.empty()) {
      options.pem_cert_chain = *ReadFile(File(name + ".pem"));
      options.pem_private_key = *ReadFile(File(name + ".key"));
    }
    return grpc::SslCredentials(options);
  }

  grpc::StatusCode ListOver(std::shared_ptr<grpc::ChannelCredentials> credentials) {
    auto stub = v1::JobService::NewStub(grpc::CreateChannel(server->client_address(), credentials));
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    v1::ListJobsResponse response;
    return stub->ListJobs(&context, {}, &response).error_code();
  }
};

TEST_F(TlsTest, ClientsComeOverTlsOnly) {
  EXPECT_EQ(ListOver(Credentials("")), grpc::StatusCode::OK);
  EXPECT_EQ(ListOver(grpc::InsecureChannelCredentials()), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(TlsTest, AWorkerSpeaksForTheNodeOfItsCertificate) {
  FakeWorker own(server->worker_address(), Credentials("node-a"));
  own.Hello("node-a", 1);
  EXPECT_TRUE(own.ReadDesired(0));
  FakeWorker other(server->worker_address(), Credentials("node-b"));
  other.Hello("node-a", 1);
  EXPECT_EQ(other.WaitForEnd().error_code(), grpc::StatusCode::PERMISSION_DENIED);
}

TEST_F(TlsTest, ACertificateWithoutACommonNameSpeaksForNoNode) {
  const std::string make = absl::StrCat(
      "cd ", folder.path(), "/certs && openssl req -newkey rsa:2048 -nodes -keyout nameless.key ",
      "-subj /O=somebody -out nameless.csr 2> /dev/null && openssl x509 -req -in nameless.csr "
      "-days 1 ",
      "-CA authority.pem -CAkey authority.key -CAcreateserial -out nameless.pem 2> /dev/null");
  ASSERT_EQ(std::system(make.c_str()), 0);
  FakeWorker nameless(server->worker_address(), Credentials("nameless"));
  nameless.Hello("node-a", 1);
  EXPECT_EQ(nameless.WaitForEnd().error_code(), grpc::StatusCode::PERMISSION_DENIED);
}

TEST_F(TlsTest, AWorkerWithoutACertificateDoesNotComeIn) {
  FakeWorker nobody(server->worker_address(), Credentials(""));
  nobody.Hello("node-a", 1);
  EXPECT_EQ(nobody.WaitForEnd().error_code(), grpc::StatusCode::UNAVAILABLE);
}

}  // namespace
}  // namespace ijepa::coordinator
