"""Evidence and estimates: do the stated probabilities match what happens?"""

from onlogit.monitor.alarms import Alarm
from onlogit.monitor.calibration import CalibrationMonitor
from onlogit.monitor.quality import Quality

__all__ = ["Alarm", "CalibrationMonitor", "Quality"]
