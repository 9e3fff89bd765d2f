"""What goes to AWS: functions and layers built from hashed pins, measured, imported alone, and described for Terraform."""
