"""What Sterna does, without a screen: everything here works from a script."""
