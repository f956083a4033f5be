"""The student's exam: several samples for each training question; the most frequent answer counts."""

from retrace.decoding.algorithms import Algorithm, register_algorithm
from retrace.decoding.plain import free_samples
from retrace.systems.learn_to_reason.options import Exam

register_algorithm(Algorithm("exam", Exam, sample=free_samples))
