"""Evidence and estimates: do the stated probabilities match what happens?"""

from onlogit.kernels.quality import Quality
from onlogit.monitor.alarms import Alarm
from onlogit.monitor.calibration import CalibrationMonitor

__all__ = ["Alarm", "CalibrationMonitor", "Quality"]
