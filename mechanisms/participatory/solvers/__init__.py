"""Greatest weighted utility less inequality: each solver returns an allocation, a bound and the gap between them."""
