"""How probably two samples are of one class: relations, small networks in stages, whitening."""
