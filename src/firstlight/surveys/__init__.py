"""Surveys as data: filters, depth, cadence, errors and detection rule of each, in TOML files."""

from firstlight.surveys.measure import measure_survey
from firstlight.surveys.survey import SurveyConfig, load_survey, survey_names

__all__ = ["SurveyConfig", "load_survey", "measure_survey", "survey_names"]
