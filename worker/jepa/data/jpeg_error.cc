#include "worker/jepa/data/jpeg_error.h"

#include <jerror.h>

namespace jepa {
namespace {

[[noreturn]] void OnError(j_common_ptr info) {
  auto* error = reinterpret_cast<JpegError*>(info->err);
  error->base.format_message(info, error->text);
  longjmp(error->jump, 1);
}

void OnMessage(j_common_ptr info, int level) {
  if (level < 0 && info->err->msg_code == JWRN_JPEG_EOF) OnError(info);
}

}  // namespace

void InstallHandlers(JpegError& error) {
  jpeg_std_error(&error.base);
  error.base.error_exit = OnError;
  error.base.emit_message = OnMessage;
  error.text[0] = '\0';
}

}  // namespace jepa
