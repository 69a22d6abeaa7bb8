"""Which networks learn what comes next from bags and averages of items?"""
