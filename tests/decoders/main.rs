//! Every decoder that reads bytes from the network or from a disk, fed with anything.
