"""The Celery process: claims rows, trains, ingests, records. The only place where the store and learning meet."""
