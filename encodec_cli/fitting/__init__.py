"""How far a decoded sound is from its recording, and which way leads nearer: numpy alone."""
