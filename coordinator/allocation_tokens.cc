// See allocation_tokens.h.
#include "coordinator/allocation_tokens.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <array>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace ijepa::coordinator {
namespace {

constexpr size_t kClusterNameBytes = 4;

std::string Mac(const std::string& key, const std::string& text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> bytes;
  unsigned int size = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(), bytes.data(), &size);
  return std::string(reinterpret_cast<const char*>(bytes.data()), size);
}

}  // namespace

std::string AllocationTokens::For(absl::string_view uid, int64_t generation) const {
  return absl::BytesToHexString(Mac(key_, absl::StrCat("attempt ", uid, " ", generation)));
}

bool AllocationTokens::Matches(absl::string_view token, absl::string_view uid,
                               int64_t generation) const {
  const std::string wanted = For(uid, generation);
  return token.size() == wanted.size() &&
         CRYPTO_memcmp(token.data(), wanted.data(), wanted.size()) == 0;
}

std::string AllocationTokens::ClusterName() const {
  return absl::BytesToHexString(Mac(key_, "cluster").substr(0, kClusterNameBytes));
}

}  // namespace ijepa::coordinator
