"""Room `audit_report`: what a span of the audit trail amounts to, in figures.

Touches the room `audit_index`, which answers, and Kafka for what is undecided.
"""
