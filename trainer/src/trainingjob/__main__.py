from trainingjob.cli import entry

entry()
