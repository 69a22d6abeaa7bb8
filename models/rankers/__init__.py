"""What orders shown slates: rankers of one contract, compared side by side and served live."""
