"""The course: parts to rebuild, their grader, the swap, the roadmap."""
