"""What people may care about, as atoms with a known curvature, and the best allocation for any sum of them."""
