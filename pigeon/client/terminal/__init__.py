"""What has the user's terminal: the guardian process. Nothing here touches the share."""
