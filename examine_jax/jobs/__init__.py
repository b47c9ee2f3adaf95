"""The commands' jobs, each with its page. No study needs a job."""
