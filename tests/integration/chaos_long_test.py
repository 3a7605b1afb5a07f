"""Ten minutes of faults, one per 30 s."""
import unittest

import chaos_test


class ChaosLongTest(chaos_test.ChaosTest):
    EPOCHS, EVERY, MEAN_GAP_SECONDS, STORM_SECONDS, TIMEOUT = 1000, 100, 30, 600, 2400


if __name__ == "__main__":
    unittest.main()
