// The one statistic that most benches quote.
#ifndef IJEPA_TESTS_BENCH_MEDIAN_H_
#define IJEPA_TESTS_BENCH_MEDIAN_H_

#include <algorithm>
#include <vector>

namespace jepa::bench {

// Of an even number the larger of both in the middle; 0 of none.
inline double Median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace jepa::bench

#endif  // IJEPA_TESTS_BENCH_MEDIAN_H_
