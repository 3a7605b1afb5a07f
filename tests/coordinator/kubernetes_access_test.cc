// Ways to an API server: kubeconfigs, good and bad, and the folder of a pod's service account.
#include "coordinator/backends/kubernetes_access.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "tests/fakes/temporary_folder.h"

namespace ijepa::coordinator {
namespace {

using ::testing::HasSubstr;

constexpr char kConfig[] = R"(apiVersion: v1
kind: Config
current-context: here
clusters:
- name: other
  cluster: {server: "https://10.0.0.1:6443"}
- name: main
  cluster: {server: "https://10.0.0.2:6443/", certificate-authority-data: QVVUSE9SSVRZ}
contexts:
- name: here
  context: {cluster: main, user: me, namespace: train}
users:
- name: me
  user: {USER}
)";

class KubernetesAccessTest : public ::testing::Test {
 protected:
  absl::StatusOr<KubernetesAccess> ReadWithUser(const std::string& user) {
    std::string text = kConfig;
    text.replace(text.find("USER"), 4, user);
    EXPECT_TRUE(WriteFileAtomically(path_, text).ok());
    return ReadKubeconfig(path_);
  }

  TemporaryFolder folder_;
  const std::string path_ = absl::StrCat(folder_.path(), "/config");
};

TEST_F(KubernetesAccessTest, ReadsTheCurrentContext) {
  const auto access = ReadWithUser("token: secret");
  ASSERT_TRUE(access.ok()) << access.status();
  EXPECT_EQ(access->server, "https://10.0.0.2:6443");
  EXPECT_EQ(access->name_space, "train");
  EXPECT_EQ(access->authority, "AUTHORITY");
  EXPECT_EQ(access->token, "secret");
}

TEST_F(KubernetesAccessTest, ReadsFilesBesideTheConfig) {
  ASSERT_TRUE(WriteFileAtomically(absl::StrCat(folder_.path(), "/me.pem"), "PEM").ok());
  ASSERT_TRUE(WriteFileAtomically(absl::StrCat(folder_.path(), "/me.key"), "KEY").ok());
  const auto access = ReadWithUser("client-certificate: me.pem, client-key: me.key");
  ASSERT_TRUE(access.ok()) << access.status();
  EXPECT_EQ(access->certificate, "PEM");
  EXPECT_EQ(access->key, "KEY");
}

TEST_F(KubernetesAccessTest, RefusesWhatItCannotUseAndSaysWhatToDo) {
  EXPECT_THAT(std::string(ReadWithUser("exec: {command: aws}").status().message()),
              HasSubstr("logs in by a program (exec); use a token"));
  EXPECT_THAT(std::string(ReadWithUser("client-key-data: \"***\"").status().message()),
              HasSubstr("client-key-data that is not base64"));
  EXPECT_THAT(std::string(ReadWithUser("client-key: gone.key").status().message()),
              HasSubstr("gone.key"));
  EXPECT_TRUE(absl::IsNotFound(ReadKubeconfig(folder_.path() + "/none").status()));
  ASSERT_TRUE(WriteFileAtomically(path_, "current-context: a\ncontexts: 7\n").ok());
  EXPECT_THAT(std::string(ReadKubeconfig(path_).status().message()), HasSubstr("has no context"));
  ASSERT_TRUE(WriteFileAtomically(path_, "[1, 2]").ok());
  EXPECT_THAT(std::string(ReadKubeconfig(path_).status().message()), HasSubstr("cannot be read"));
}

TEST_F(KubernetesAccessTest, ReadsTheServiceAccountOfAPod) {
  ASSERT_TRUE(WriteFileAtomically(absl::StrCat(folder_.path(), "/ca.crt"), "CA").ok());
  ASSERT_TRUE(WriteFileAtomically(absl::StrCat(folder_.path(), "/namespace"), "train\n").ok());
  const auto access = InClusterAccess(folder_.path(), "fd00::1", "443");
  ASSERT_TRUE(access.ok()) << access.status();
  EXPECT_EQ(access->server, "https://[fd00::1]:443");
  EXPECT_EQ(access->name_space, "train");
  EXPECT_EQ(access->token_file, folder_.path() + "/token");
  EXPECT_TRUE(
      absl::IsFailedPrecondition(InClusterAccess(folder_.path(), nullptr, nullptr).status()));
}

}  // namespace
}  // namespace ijepa::coordinator
