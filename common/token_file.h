// Where the local token of a coordinator is: a file that only the user who runs it can read, named
// by its address, so that ijepactl finds it without being told.
#ifndef IJEPA_COMMON_TOKEN_FILE_H_
#define IJEPA_COMMON_TOKEN_FILE_H_

#include <string>

#include "absl/status/statusor.h"

namespace ijepa {

// <folder>/<address>.token; the folder is $XDG_RUNTIME_DIR/ijepa, else /tmp/ijepa-<user id>.
// `address`: HOST:PORT.
std::string TokenFileFor(const std::string& address);

// Writes the token there, in a folder of mode 0700, and returns the file's path. PermissionDenied
// if the folder is not this user's alone.
absl::StatusOr<std::string> WriteTokenFile(const std::string& address, const std::string& secret);

// Replaces the file by one of mode 0600 with the token.
absl::Status WriteToken(const std::string& path, const std::string& secret);

// The token of a file, without the end of its line. PermissionDenied if others than its owner can
// read the file.
absl::StatusOr<std::string> ReadTokenFile(const std::string& path);

}  // namespace ijepa

#endif  // IJEPA_COMMON_TOKEN_FILE_H_
