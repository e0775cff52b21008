"""The encoder of the ResEnc-L U-Nets that OpenMind's authors trained without labels."""
