"""What is known before anything is solved: bounds, families that attain them, closed forms, rates; and pictures of them."""
