"""For trainers that are not ours: callbacks that report, store checkpoints and obey. None of them is imported by anything else here."""
