"""The web page of a trained network: what Streamlit shows, and what it is made of."""
