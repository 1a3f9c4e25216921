"""What shifts change: looks, objects, images, masks, actions, and what else lies on the table."""
