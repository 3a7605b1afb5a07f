// Bars and curves made of characters, with an ASCII form for terminals without UTF-8. Pure.
#ifndef IJEPA_CLIENT_RENDER_PLOT_H_
#define IJEPA_CLIENT_RENDER_PLOT_H_

#include <string>
#include <vector>

namespace ijepa::client {

// "[########----]": `width` columns between the brackets, share clamped to [0, 1].
std::string Bar(double share, int width, bool utf8);

// One character per value, low to high; non-finite values are blank. Empty for no values.
std::string Sparkline(const std::vector<double>& values, bool utf8);

struct Point {
  double x = 0;
  double y = 0;
};

struct CurveSize {
  // Columns and rows of the plot area, without the axis labels.
  int width = 60;
  int height = 8;
};

// A curve over x with its highest and lowest y as labels on the left; points in the same column
// are drawn as their mean. Points that are not finite are left out. Fewer than two points give no
// lines.
std::vector<std::string> Curve(const std::vector<Point>& points, CurveSize size, bool utf8);

// One character for a share in [0, 1]: blank for 0 to full for 1.
std::string Shade(double share, bool utf8);

}  // namespace ijepa::client

#endif  // IJEPA_CLIENT_RENDER_PLOT_H_
