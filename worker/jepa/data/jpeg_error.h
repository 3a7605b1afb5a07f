// libjpeg's errors come back by longjmp, so every function that calls setjmp holds only trivial
// objects, and what must be freed belongs to an object outside of it.
#ifndef IJEPA_WORKER_JEPA_DATA_JPEG_ERROR_H_
#define IJEPA_WORKER_JEPA_DATA_JPEG_ERROR_H_

#include <setjmp.h>

#include <cstdio>
// libjpeg needs FILE declared first.
#include <jpeglib.h>

namespace jepa {

struct JpegError {
  jpeg_error_mgr base;  // First: libjpeg knows only its address.
  jmp_buf jump;
  char text[JMSG_LENGTH_MAX];
};

// Makes errors jump to error.jump with error.text filled. Only the end of the data before the end
// of the image is an error, as in Pillow; other oddities are decoded as far as libjpeg can.
void InstallHandlers(JpegError& error);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_DATA_JPEG_ERROR_H_
