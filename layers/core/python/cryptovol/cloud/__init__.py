"""The local clouds: what starts, deploys to, and runs the pipeline on an emulator or on AWS."""
